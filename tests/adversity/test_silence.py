"""A model that thinks: keep-alives bridge the silence in every dialect, only between frames, and every SDK reads on."""

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import ollama
import openai
import pytest

from tests.support.gateway import Gateway
from tests.support.kinds import ALL, CHAT, DIALECTS, MESSAGES, Kind
from tests.support.loop import LoopThread
from tests.support.scene import ask, config_of, provider
from tests.support.script import LAST, Pause, Script, Send, Step, answer, chunk, stream, stream_head
from tests.support.upstream import Upstream, steps

KEEP_ALIVE = 0.2
SILENCE = 3.5 * KEEP_ALIVE


@pytest.fixture(scope="module")
def second(loop: LoopThread) -> Iterator[Upstream]:
    with Upstream(loop) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def settings(module_upstream: Upstream, second: Upstream) -> dict[str, Any]:
    both = [{"provider": "up"}]
    plain = config_of(module_upstream)
    return {
        "keepalive": "200ms",
        "providers": {**plain["providers"], "second": provider(second.root)},
        "models": {**plain["models"], "both": {"targets": both, "fallback": [{"provider": "second"}]}},
    }


def quiet(kind: Kind, before: int) -> Script:
    """A stream with a silence before one of its frames; 0 is before the first, the head unsent."""
    parts: list[Any] = [Pause(SILENCE)] if before == 0 else []
    parts.append(stream_head(kind.media))
    for number, frame in enumerate(kind.frames):
        if number == before and number:
            parts.append(Pause(SILENCE))
        parts.append(Send(chunk(frame)))
    return steps(*parts, Send(LAST))


def without_keep_alives(kind: Kind, body: bytes) -> bytes:
    """The body less the keep-alives of the dialect."""
    if kind.dialect == "ollama":
        kept = [
            line
            for line in body.splitlines(keepends=True)
            if line in kind.frames or kind.text_of(json.loads(line)) or json.loads(line).get("done")
        ]
        return b"".join(kept)
    if kind.dialect == "openai":
        return body.replace(b": keep-alive\n\n", b"")
    frames = body.split(b"\n\n")
    return b"\n\n".join(frame for frame in frames if b'"ping"' not in frame)


@pytest.mark.parametrize("before", [0, 1])
def test_silence_is_bridged_and_every_frame_arrives_as_it_was(
    gateway: Gateway, upstream: Upstream, before: int
) -> None:
    by_path = {kind.path: kind for kind in ALL}
    upstream.answer = lambda seen: quiet(by_path[seen.target], before)
    with ThreadPoolExecutor(len(ALL)) as pool:
        answers = list(pool.map(lambda kind: ask(gateway, kind), ALL))
    for kind, got in zip(ALL, answers, strict=True):
        assert got.status == 200, kind.name
        assert kind.keep_alives(got.body) >= 2, (kind.name, got.body)
        assert without_keep_alives(kind, got.body) == b"".join(kind.frames), kind.name
        if kind.dialect == "ollama":
            assert all({"model", "created_at", "done"} <= set(value) for value in kind.values(got.body))


def test_keep_alives_arrive_while_the_model_thinks(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(quiet(CHAT, 0))
    got = ask(gateway, CHAT)
    times = [at for at, _ in got.pieces]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert max(gaps) < 2 * KEEP_ALIVE


@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
def test_no_keep_alive_falls_inside_a_frame(gateway: Gateway, upstream: Upstream, kind: Kind) -> None:
    first, *rest = kind.frames
    half = len(rest[0]) // 2
    script: list[Step] = [Send(chunk(first)), Send(chunk(rest[0][:half])), Pause(SILENCE), Send(chunk(rest[0][half:]))]
    upstream.always(steps(stream_head(kind.media), *script, *(Send(chunk(frame)) for frame in rest[1:]), Send(LAST)))
    got = ask(gateway, kind)
    assert without_keep_alives(kind, got.body) == b"".join(kind.frames)
    for frame in kind.frames:
        assert frame in got.body


def test_upstream_comments_and_pings_are_not_the_first_token(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(
        steps(
            stream_head(),
            Send(chunk(b": OPENROUTER PROCESSING\n\n")),
            Pause(SILENCE),
            Send(chunk(b'data: {"error":{"message":"no luck","code":500}}\n\n')),
            Send(LAST),
        )
    )
    got = ask(gateway, CHAT)
    assert got.status == 200
    assert CHAT.outcome(got.body) == "error"
    assert "no luck" in got.body.decode()


@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
def test_an_error_after_keep_alives_is_a_frame(gateway: Gateway, upstream: Upstream, kind: Kind) -> None:
    upstream.always(steps(Pause(SILENCE), answer({"error": {"message": "overheated"}}, 500)))
    got = ask(gateway, kind)
    assert got.status == 200
    assert kind.outcome(got.body) == "error"
    assert kind.keep_alives(got.body) >= 2


@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
def test_fallback_is_still_possible_after_keep_alives(
    gateway: Gateway, upstream: Upstream, second: Upstream, kind: Kind
) -> None:
    upstream.always(steps(Pause(SILENCE), answer({"error": {"message": "overheated"}}, 500)))
    second.always(stream(list(kind.frames), kind.media))
    got = ask(gateway, kind, model="both")
    assert got.status == 200
    assert without_keep_alives(kind, got.body) == b"".join(kind.frames)


@pytest.mark.parametrize("before", [0, 1])
def test_the_openai_sdk_reads_over_keep_alives(gateway: Gateway, upstream: Upstream, before: int) -> None:
    with openai.OpenAI(base_url=gateway.openai, api_key="x", max_retries=0, timeout=10) as client:
        upstream.always(quiet(CHAT, before))
        chunks = list(client.chat.completions.create(model="m", messages=[], stream=True))
        assert "".join(each.choices[0].delta.content or "" for each in chunks if each.choices) == "Hé😀!"
        upstream.always(quiet(ALL[2], before))
        events = list(client.responses.create(model="m", input="x", stream=True))
        assert events[-1].type == "response.completed"


@pytest.mark.parametrize("before", [0, 1])
def test_the_anthropic_sdk_reads_over_keep_alives(gateway: Gateway, upstream: Upstream, before: int) -> None:
    upstream.always(quiet(MESSAGES, before))
    with (
        anthropic.Anthropic(base_url=gateway.root, api_key="x", max_retries=0, timeout=10) as client,
        client.messages.stream(model="m", max_tokens=5, messages=[]) as answered,
    ):
        assert answered.get_final_text() == "Hé😀!"


@pytest.mark.parametrize("before", [0, 1])
def test_the_ollama_sdk_reads_over_keep_alives(gateway: Gateway, upstream: Upstream, before: int) -> None:
    with ollama.Client(gateway.root, timeout=10) as client:
        upstream.always(quiet(ALL[4], before))
        chat = list(client.chat("m", [], stream=True))
        assert "".join(part.message.content or "" for part in chat) == "Hé😀!"
        upstream.always(quiet(ALL[5], before))
        made = list(client.generate("m", "x", stream=True))
        assert "".join(part.response for part in made) == "Hé😀!"
