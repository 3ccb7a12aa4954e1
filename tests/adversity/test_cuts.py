"""An upstream that breaks off anywhere never looks like an answer that ended well."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.gateway import Gateway
from tests.support.kinds import ALL, CHAT, COMPLETIONS, DIALECTS, MESSAGES, Kind
from tests.support.raw import Answer, Closed
from tests.support.scene import ask
from tests.support.script import Cut, Pause, Script, Send, answer, chunk, head, joined, stream, stream_head
from tests.support.upstream import Upstream

FAILURES = {"upstream_cut", "upstream_protocol", "upstream_error", "upstream_connect"}


def cutting(script: Script, how: str = "fin") -> Callable[[object], Script]:
    """Answers with as many of the script's bytes as the request's `x_cut` says, then cuts."""
    whole = joined(script)

    def answering(seen: object) -> Script:
        at = seen.json()["x_cut"]  # type: ignore[attr-defined]
        if how == "reset":
            # The pause lets the bytes arrive: a reset overtakes what is still on its way.
            return [Send(whole[:at]), Pause(0.01), Cut("reset")]
        return [Send(whole[:at]), Cut("fin")] if at < len(whole) else [Send(whole), Cut("fin")]

    return answering


def check(kind: Kind, cut: int, got: Answer) -> str:
    """What the client saw is an end with everything before it, an error frame, or a 5xx."""
    where = f"{kind.name} cut at {cut}: {got.head!r} {got.body!r}"
    if got.status != 200:
        assert 500 <= got.status <= 504, where
        assert got.error_code in FAILURES, where
        assert kind.error_message(got), where
        return "refused"
    outcome = kind.outcome(got.body)
    assert outcome != "cut", where
    assert kind.rest(got.body) == b"", where
    full = kind.text(b"".join(kind.frames))
    if outcome == "complete":
        assert kind.text(got.body) == full, where
        assert kind.is_end(kind.values(got.body)[-1]), where
    else:
        assert full.startswith(kind.text(got.body)), where
        assert kind.is_error(kind.values(got.body)[-1]), where
    return outcome


def every(offsets: range | list[int], work: Callable[[int], str]) -> list[str]:
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(work, offsets))


def part(index: int, finish: str | None = None) -> bytes:
    choice = {"index": index, "delta": {"content": "Hi"}, "finish_reason": finish}
    return f"data: {json.dumps({'id': 'c', 'choices': [choice]})}\n\n".encode()


@pytest.mark.parametrize("wanted", [{"n": 2}, {"n": 3}])
def test_an_answer_is_whole_once_every_alternative_is(
    gateway: Gateway, upstream: Upstream, wanted: dict[str, Any]
) -> None:
    indexes = range(wanted["n"])
    frames = [*(part(index) for index in indexes), *(part(index, "stop") for index in indexes)]
    upstream.always([stream_head(), *(Send(chunk(frame)) for frame in frames[:-1]), Cut()])
    cut = ask(gateway, CHAT, **wanted)
    assert CHAT.outcome(cut.body) == "error", cut.body
    upstream.always([stream_head(), *(Send(chunk(frame)) for frame in frames), Cut()])
    whole = ask(gateway, CHAT, **wanted)
    assert whole.body.endswith(b"data: [DONE]\n\n"), whole.body


@pytest.mark.slow
@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_a_stream_cut_at_any_byte_is_never_a_silent_end(gateway: Gateway, upstream: Upstream, kind: Kind) -> None:
    script = stream(list(kind.frames), kind.media)
    whole = joined(script)
    upstream.answer = cutting(script)
    outcomes = every(range(len(whole) + 1), lambda cut: check(kind, cut, ask(gateway, kind, x_cut=cut)))
    assert outcomes[0] == "refused"
    assert outcomes[-1] == "complete"
    assert {"refused", "error", "complete"} == set(outcomes)
    first_frame_ends = whole.index(kind.frames[0]) + len(kind.frames[0])
    assert "complete" not in outcomes[: first_frame_ends + 1]


@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
def test_a_stream_without_length_cut_at_any_byte_is_never_a_silent_end(
    gateway: Gateway, upstream: Upstream, kind: Kind
) -> None:
    script = [Send(head(200, {"content-type": kind.media, "connection": "close"}) + b"".join(kind.frames))]
    upstream.answer = cutting(script)
    whole = joined(script)
    body = whole.index(kind.frames[0])
    offsets = list(range(body, len(whole) + 1))
    outcomes = every(offsets, lambda cut: check(kind, cut, ask(gateway, kind, x_cut=cut)))
    assert outcomes[-1] == "complete"


@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
def test_a_reset_at_any_byte_is_never_a_silent_end(
    gateway: Gateway, upstream: Upstream, kind: Kind, rounds: int
) -> None:
    script = stream(list(kind.frames), kind.media)
    total = len(joined(script))
    offsets = sorted({number * 7919 % total for number in range(min(rounds, total))})
    upstream.answer = cutting(script, "reset")
    every(offsets, lambda cut: check(kind, cut, ask(gateway, kind, x_cut=cut)))


@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
def test_a_whole_answer_cut_at_any_byte_never_looks_whole(gateway: Gateway, upstream: Upstream, kind: Kind) -> None:
    script = answer(kind.whole)
    whole = joined(script)
    upstream.answer = cutting(script)

    def one(cut: int) -> str:
        try:
            got = ask(gateway, kind, stream=False, x_cut=cut)
        except Closed:
            return "cut"
        if got.status == 200:
            assert got.json() == kind.whole
            return "whole"
        assert got.status == 502
        assert got.error_code in FAILURES
        assert kind.error_message(got)
        return "refused"

    outcomes = every(range(len(whole) + 1), one)
    assert outcomes[0] == "refused"
    assert outcomes.count("whole") == 1
    assert outcomes[-1] == "whole"


@pytest.mark.parametrize("kind", [CHAT, COMPLETIONS, MESSAGES], ids=lambda kind: kind.name)
def test_a_finished_stream_without_its_mark_gets_the_mark(gateway: Gateway, upstream: Upstream, kind: Kind) -> None:
    upstream.always(stream(list(kind.frames[:-1]), kind.media))
    got = ask(gateway, kind)
    assert got.body.startswith(b"".join(kind.frames[:-1]))
    assert kind.values(got.body) == kind.values(b"".join(kind.frames))


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_a_clean_end_without_a_finish_is_an_upstream_cut(gateway: Gateway, upstream: Upstream, kind: Kind) -> None:
    upstream.always(stream(list(kind.frames[:1]), kind.media))
    got = ask(gateway, kind)
    assert got.status == 200
    assert kind.outcome(got.body) == "error"
    if kind.dialect == "openai":
        assert b'"upstream_cut"' in got.body
    assert got.body.startswith(kind.frames[0])


@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
def test_an_empty_stream_is_an_error_not_an_answer(gateway: Gateway, upstream: Upstream, kind: Kind) -> None:
    upstream.always(stream([], kind.media))
    got = ask(gateway, kind)
    assert got.status == 502
    assert got.error_code in FAILURES
    assert kind.error_message(got)


@pytest.mark.parametrize(
    "broken",
    [b"zz\r\n", b"-1\r\n", b"5\r\nabcdefg", b"FFFFFFFFFFFFFFFFF\r\n", b"5;" + b"x" * 5000 + b"\r\n", b"5\nabcde\n"],
    ids=["letters", "sign", "too-long", "overflow", "extension", "bare-lf"],
)
def test_broken_chunking_amid_a_stream_is_an_error_frame(gateway: Gateway, upstream: Upstream, broken: bytes) -> None:
    kind = DIALECTS[0]
    upstream.always([stream_head(), Send(chunk(kind.frames[0])), Pause(0.02), Send(broken), Cut("fin")])
    got = ask(gateway, kind)
    assert got.status == 200
    assert kind.outcome(got.body) == "error"


@pytest.mark.parametrize(
    "first",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
        b"HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n",
    ],
    ids=["garbage", "both-framings", "two-lengths", "101", "huge-head", "folded", "short-status"],
)
def test_an_answer_that_is_not_http_is_a_502(gateway: Gateway, upstream: Upstream, first: bytes) -> None:
    upstream.always([Send(first), Cut("fin")])
    kind = DIALECTS[0]
    got = ask(gateway, kind)
    assert got.status == 502
    assert got.error_code == "upstream_protocol"
    assert kind.error_message(got)
