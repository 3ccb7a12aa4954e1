"""Requests that end before their answer does: whose client leaves, or whose process stops, is charged and recorded."""

import json
from pathlib import Path

import pytest

from penstock.tokens import count, count_messages
from tests.support.audit import query, verified
from tests.support.gateway import Gateway
from tests.support.kinds import CHAT, OLLAMA_CHAT, TEXTS, Kind
from tests.support.limits import used
from tests.support.raw import Client
from tests.support.scene import ask, assert_refused, config_of, open_request, provider
from tests.support.script import LAST, Cut, Hold, Pause, Script, Send, answer, chunk, head, stream_head, whole
from tests.support.upstream import Upstream, steps
from tests.support.wait import until

TEXT: Script = [stream_head(), *(Send(chunk(frame)) for frame in CHAT.frames[:2]), Hold()]


def begun(gateway: Gateway) -> Client:
    """A stream of which the first two frames are here."""
    client = open_request(gateway, CHAT, True, "up/gpt-4o")
    got = b""
    while CHAT.frames[1] not in got:
        got += client.sock.recv(65_536)
    return client


def test_what_the_end_of_the_process_cuts_is_told_charged_and_recorded(upstream: Upstream, tmp_path: Path) -> None:
    limits = {"default": {"tokens": "1000000/h"}, "providers": {"up": {"tokens": "1000000/h", "requests": "99/h"}}}
    config = config_of(upstream, limits=limits, shutdown={"deadline": "100ms"})
    with Gateway(tmp_path, config) as gateway:
        upstream.always(TEXT)
        streaming = begun(gateway)
        upstream.always([Hold()])
        waiting, idle = open_request(gateway, CHAT, False), Client(gateway.address)
        until(lambda: len(upstream.requests) == 2, "both are asked")
        gateway.stop()
        rest = streaming.sock.recv(65_536)
        assert b'"code": "shutting_down"' in rest or b'"code":"shutting_down"' in rest, rest
        refused = waiting.read()
        assert (refused.status, refused.error_code, refused.header("retry-after")) == (503, "shutting_down", "1")
        streaming.close()
        waiting.close()
        idle.close()
        rows = query(gateway.data_dir)
        assert verified(gateway.data_dir)[0]["ended"]
        gateway.start()
        kept = used(gateway, "up", "provider")
    (cut,) = [row for row in rows if row["outcome"] == "failed"]
    (told,) = [row for row in rows if row["outcome"] == "complete"]
    assert (cut["error"], cut["status"], cut["usage_source"]) == ("shutting_down", 200, "counted")
    assert cut["usage"]["completion_tokens"] == count("".join(TEXTS), "gpt-4o")
    assert cut["usage"]["prompt_tokens"] == count_messages(CHAT.body["messages"], "gpt-4o")
    assert cut["charged_tokens"] == sum(cut["usage"][name] for name in ("prompt_tokens", "completion_tokens"))
    assert (told["error"], told["status"]) == ("shutting_down", 503)
    assert told["charged_tokens"] > 0, "whoever was asked works on it"
    assert kept == {"tokens": cut["charged_tokens"] + told["charged_tokens"], "requests": 2}


@pytest.mark.parametrize(
    ("end", "error", "costs"),
    [
        ("leaves", "given_up", (1, 1)),
        ("leaves where nothing costs anything", "given_up", (None, 0)),
        ("late", "upstream_timeout", (None, 0)),
    ],
)
def test_who_was_being_asked_when_a_request_ended_is_recorded(
    upstream: Upstream, tmp_path: Path, end: str, error: str, costs: tuple[int | None, int]
) -> None:
    upstream.answer = lambda _: steps(answer({}, 500) if len(upstream.requests) == 1 else [Hold()])
    config = config_of(upstream, timeouts={"connect": "300ms", "total": "900ms"} if end == "late" else {})
    config["providers"]["second"] = provider(upstream.root) | {"free": costs == (None, 0)}
    targets = [{"provider": "up", "model": "a"}, {"provider": "second", "model": "b"}]
    config["models"] = {"m": {"targets": targets[:1], "fallback": targets[1:]}}
    with Gateway(tmp_path, config) as gateway:
        client = open_request(gateway, CHAT, False)
        until(lambda: len(upstream.requests) == 2, "both are asked")
        if end == "late":
            refused = client.read()
            assert_refused(refused, CHAT, 504, error)
            assert refused.header("x-penstock-attempts") == "2"
        client.close()
        (row,) = until(lambda: query(gateway.data_dir), "it is recorded") or []
        counted = gateway.at_rest()
    told = [tuple(each.get(name) for name in ("provider", "model", "status", "error")) for each in row["attempts"]]
    assert told == [("up", "a", 500, None), ("second", "b", None, error)]
    assert row["attempts"][1]["us"] > 0
    assert (row["usage"], row["cost_nanousd"]) == (None, None)
    assert (row.get("unpriced"), int(counted.value("penstock_unpriced_requests_total"))) == costs
    assert counted.value("penstock_attempts_total") == 2
    assert counted.value("penstock_upstream_errors_total") == (1 if error == "given_up" else 2)


def test_who_was_sent_a_part_of_a_form_is_recorded(upstream: Upstream, tmp_path: Path) -> None:
    begin = b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--B\r\n'
    begin += b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + b"x" * 300_000
    fields = b"content-type: multipart/form-data; boundary=B\r\ncontent-length: 9000000"
    with Gateway(tmp_path, config_of(upstream)) as gateway:
        client = Client(gateway.address)
        client.send(b"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: localhost\r\n" + fields + b"\r\n\r\n" + begin)
        until(lambda: upstream.heads, "it flows")
        client.close()
        (row,) = until(lambda: query(gateway.data_dir), "it is recorded") or []
    assert [(each["provider"], each.get("status"), each["error"]) for each in row["attempts"]] == [
        ("up", None, "given_up")
    ]
    assert row.get("unpriced") is None, "who was sent a part has nothing to work on"


def test_a_request_that_only_requests_limit_counts_after_a_crash_though_its_client_left(
    upstream: Upstream, tmp_path: Path
) -> None:
    config = config_of(upstream, limits={"providers": {"up": {"requests": "99/h"}}})
    with Gateway(tmp_path, config) as gateway:
        upstream.always([Hold()])
        kept = gateway.data_dir / "limits"
        until(kept.exists, "counts are kept")
        before = kept.read_bytes()
        client = open_request(gateway, CHAT, False)
        until(lambda: upstream.requests, "it is asked")
        client.close()
        until(lambda: query(gateway.data_dir), "it is recorded")
        gateway.kill()
        kept.write_bytes(before)
        gateway.start()
        assert used(gateway, "up", "provider") == {"requests": 1}


@pytest.mark.parametrize(("end", "status", "code"), [(Cut(), 502, "upstream_cut"), (Hold(), 504, "upstream_timeout")])
def test_an_answer_that_was_promised_and_never_began_is_an_error(
    upstream: Upstream, tmp_path: Path, end: Cut | Hold, status: int, code: str
) -> None:
    promised = Send(head(200, {"content-type": "application/json", "transfer-encoding": "chunked"}))
    upstream.always([promised, Pause(0.3), end])
    with Gateway(tmp_path, config_of(upstream, timeouts={"between_bytes": "400ms"})) as gateway:
        assert_refused(ask(gateway, CHAT, False), CHAT, status, code)
        (row,) = until(lambda: query(gateway.data_dir), "it is recorded") or []
    assert (row["status"], row["error"], row["outcome"], row["target"]) == (status, code, "complete", "up/m")


def test_a_coding_of_a_body_that_is_not_there_is_no_fault(upstream: Upstream, tmp_path: Path) -> None:
    with Gateway(tmp_path, config_of(upstream)) as gateway:
        for coding in ("gzip", "br", "zstd", "deflate"):
            upstream.always(whole(b"", 429, content_encoding=coding, retry_after="7"))
            got = ask(gateway, CHAT, False)
            assert (got.status, got.header("retry-after")) == (429, "7"), coding


@pytest.mark.parametrize("kind", [CHAT, OLLAMA_CHAT], ids=lambda kind: kind.name)
def test_an_error_that_ends_with_the_body_is_recorded_as_one(upstream: Upstream, tmp_path: Path, kind: Kind) -> None:
    frames = [Send(chunk(frame)) for frame in kind.frames[:1]]
    last = json.dumps({"error": {"message": "no more"} if kind is CHAT else "no more"}).encode()
    last = b"data: " + last if kind is CHAT else last
    upstream.always([stream_head(kind.media), *frames, Send(chunk(last)), Send(LAST)])
    with Gateway(tmp_path, config_of(upstream)) as gateway:
        assert last in ask(gateway, kind, True).body
        (row,) = until(lambda: query(gateway.data_dir), "it is recorded") or []
    assert (row["outcome"], row["error"]) == ("complete", "upstream_error")


def test_a_request_that_no_provider_had_room_for_counts_nowhere(upstream: Upstream, tmp_path: Path) -> None:
    limits = {"providers": {"up": {"requests": "1/min"}}, "models": {"m": {"requests": "99/day"}}}
    with Gateway(tmp_path, config_of(upstream, limits=limits)) as gateway:
        upstream.always(whole(json.dumps(CHAT.whole).encode()))
        for status in (200, 429, 429):
            assert ask(gateway, CHAT, False).status == status
        assert used(gateway, "m") == {"requests": 1}
        rows = until(lambda: rows if len(rows := query(gateway.data_dir)) == 3 else None, "all are recorded") or []
        gateway.kill()
        gateway.start()
        assert used(gateway, "m") == {"requests": 1}, "nor after a crash"
    assert sorted(row["status"] for row in rows) == [200, 429, 429]
