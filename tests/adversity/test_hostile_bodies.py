"""Bodies that cannot be served: each a clear 4xx in the caller's dialect, none a hang, none reaching an upstream."""

import json
from typing import Any

import pytest

from tests.support.gateway import Gateway
from tests.support.kinds import ALL, CHAT, DIALECTS, Kind
from tests.support.raw import Answer, Client, Closed, exchange, post, request
from tests.support.scene import ask, assert_refused
from tests.support.script import answer
from tests.support.upstream import Upstream
from tests.support.wait import until

LIMIT = 64 << 10


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return {
        "body": {"max_bytes": "64KiB", "max_inflight_bytes": "96KiB"},
        "timeouts": {"header_read": "500ms", "body_read_idle": "500ms"},
    }


def send(gateway: Gateway, kind: Kind, body: bytes) -> Answer:
    return post(gateway.address, kind.path, body, kind.headers)


BROKEN: dict[str, bytes] = {
    "empty": b"",
    "blank": b"  \r\n ",
    "cut": b'{"model":"m","messages":[',
    "cut in a string": b'{"model":"m',
    "cut in an escape": b'{"model":"\\u00',
    "trailing comma": b'{"model":"m",}',
    "two values": b'{"model":"m"}{"model":"m"}',
    "trailing text": b'{"model":"m"} x',
    "single quotes": b"{'model':'m'}",
    "bare word": b'{"model":m}',
    "comment": b'{"model":"m"/* x */}',
    "NaN": b'{"model":"m","temperature":NaN}',
    "Infinity": b'{"model":"m","temperature":-Infinity}',
    "leading zero": b'{"model":"m","n":01}',
    "lone minus": b'{"model":"m","n":-}',
    "control character": b'{"model":"m\n"}',
    "bad escape": b'{"model":"\\x41"}',
    "byte-order mark": b'\xef\xbb\xbf{"model":"m"}',
    "UTF-16": '{"model":"m"}'.encode("utf-16"),
    "invalid UTF-8": b'{"model":"m","messages":"\xff\xfe"}',
    "overlong UTF-8": b'{"model":"m","messages":"\xc0\xaf"}',
    "surrogate in UTF-8": b'{"model":"m","messages":"\xed\xa0\x80"}',
    "cut UTF-8": b'{"model":"m","messages":"\xe2\x82"}',
    "NUL": b'{"model":"m"}\x00',
    "deep arrays": b'{"model":"m","messages":' + b"[" * 1000 + b"]" * 1000 + b"}",
    "deep objects": b'{"model":"m","messages":' + b'{"a":' * 1000 + b"1" + b"}" * 1000 + b"}",
    "unclosed and deep": b'{"model":"m","messages":' + b"[" * 30_000,
}


@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("broken", BROKEN)
def test_a_body_that_is_not_json_is_refused(gateway: Gateway, upstream: Upstream, kind: Kind, broken: str) -> None:
    got = send(gateway, kind, BROKEN[broken])
    assert got.error_code in ("invalid_json", "invalid_request" if broken in ("empty", "blank") else "invalid_json")
    assert_refused(got, kind, 400, got.error_code or "")
    assert not upstream.heads


@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("body", [b"[]", b'"model"', b"1", b"null", b"true"])
def test_a_body_that_is_no_object_is_refused(gateway: Gateway, upstream: Upstream, kind: Kind, body: bytes) -> None:
    got = send(gateway, kind, body)
    assert got.status == 400
    assert got.error_code in ("invalid_json", "invalid_request")
    assert kind.error_message(got)
    assert not upstream.heads


@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","model":"m"}',
        b'{"model":"m","messages":[],"model":"other"}',
        b'{"model":"m","mod\\u0065l":"other"}',
        b'{"\\u006d\\u006f\\u0064\\u0065\\u006c":"m","model":"m"}',
        b'{"model":"m","stream":true,"stream":false}',
        b'{"model":"m","messages":[],"messages":[]}',
    ],
)
def test_a_field_given_twice_is_refused(gateway: Gateway, upstream: Upstream, kind: Kind, body: bytes) -> None:
    message = assert_refused(send(gateway, kind, body), kind, 400, "duplicate_field")
    assert any(name in message for name in ("model", "stream", "messages"))
    assert not upstream.heads


def test_a_field_given_twice_deeper_down_passes_as_it_came(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer(CHAT.whole))
    body = b'{"model":"m","messages":[{"role":"user","role":"user"}]}'
    assert send(gateway, CHAT, body).status == 200
    assert upstream.requests[0].body == body


def test_an_escaped_model_is_the_model(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer(CHAT.whole))
    assert send(gateway, CHAT, b'{"mod\\u0065l":"\\u006d","messages":[]}').status == 200


@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("model", [b"1", b"null", b"[]", b"{}", b'""', b"true"])
def test_a_model_that_is_no_name_is_refused(gateway: Gateway, upstream: Upstream, kind: Kind, model: bytes) -> None:
    got = send(gateway, kind, b'{"messages":[],"model":' + model + b"}")
    assert 400 <= got.status <= 404
    assert got.error_code in ("invalid_request", "model_not_found", "invalid_json")
    assert "model" in kind.error_message(got)
    assert not upstream.heads


@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("value", [b"1", b'"true"', b"[]", b"{}"])
def test_a_stream_that_is_no_boolean_is_refused(gateway: Gateway, upstream: Upstream, kind: Kind, value: bytes) -> None:
    got = send(gateway, kind, b'{"messages":[],"model":"m","stream":' + value + b"}")
    assert_refused(got, kind, 400, "invalid_request")
    assert not upstream.heads


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_a_body_over_the_limit_is_refused(gateway: Gateway, upstream: Upstream, kind: Kind) -> None:
    body = json.dumps(kind.request("m", pad="x" * LIMIT)).encode()
    got = send(gateway, kind, body)
    assert_refused(got, kind, 413, "body_too_large")
    assert not upstream.heads


def test_a_length_over_the_limit_is_refused_before_the_body_comes(gateway: Gateway, upstream: Upstream) -> None:
    got = exchange(gateway.address, request("POST", CHAT.path, b"{", {"content-length": "999999999999"}))
    assert_refused(got, CHAT, 413, "body_too_large")
    assert not upstream.heads


def test_chunks_over_the_limit_are_refused(gateway: Gateway, upstream: Upstream) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    with Client(gateway.address) as client:
        client.send(head + chunk * 5)
        assert_refused(client.read(), CHAT, 413, "body_too_large")
    assert not upstream.heads


def test_a_body_at_the_limit_passes_untouched(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer(CHAT.whole))
    body = json.dumps(CHAT.request("m", stream=False)).encode()
    body += b" " * (LIMIT - len(body))
    assert send(gateway, CHAT, body).status == 200
    assert upstream.requests[0].body == body


def test_too_much_in_flight_is_a_503_that_says_when_to_come_back(gateway: Gateway, upstream: Upstream) -> None:
    big = {"content-length": str(LIMIT - 1000)}
    with Client(gateway.address) as first:
        first.send(request("POST", CHAT.path, b" " * (LIMIT - 3000), big))
        until(lambda: gateway.counts()["buffered bytes"] >= LIMIT - 3000, "the first body is held")
        got = send(gateway, CHAT, b" " * (LIMIT - 1000))
        assert_refused(got, CHAT, 503, "overloaded")
        assert int(got.header("retry-after") or "0") >= 1
    upstream.always(answer(CHAT.whole))
    gateway.assert_idle()
    assert ask(gateway, CHAT, stream=False).status == 200


def test_a_body_that_stops_coming_is_a_408(gateway: Gateway, upstream: Upstream) -> None:
    with Client(gateway.address) as client:
        client.send(request("POST", CHAT.path, b"{", {"content-length": "100"}))
        assert_refused(client.read(), CHAT, 408, "request_timeout")
        assert client.wait_closed() == b""
    assert not upstream.heads


def test_a_head_that_stops_coming_ends_the_connection(gateway: Gateway, upstream: Upstream) -> None:
    with Client(gateway.address) as client:
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: lo")
        try:
            assert client.read().status == 408
        except Closed as closed:
            assert closed.got == b""  # noqa: PT017 - either is right
    assert not upstream.heads


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "zstd", "gzip, identity", "x"])
def test_a_coded_body_is_refused(gateway: Gateway, upstream: Upstream, coding: str) -> None:
    got = post(gateway.address, CHAT.path, b"\x1f\x8b", {"content-encoding": coding})
    assert_refused(got, CHAT, 415, "unsupported_encoding")
    assert not upstream.heads


def test_multipart_without_a_model_is_refused(gateway: Gateway, upstream: Upstream) -> None:
    body = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=b"}
    got = post(gateway.address, "/v1/audio/transcriptions", body, headers)
    assert got.status == 400
    assert "model" in CHAT.error_message(got)
    assert not upstream.heads


@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
def test_an_unknown_model_names_close_ones(gateway: Gateway, upstream: Upstream, kind: Kind) -> None:
    message = assert_refused(ask(gateway, kind, model="n"), kind, 404, "model_not_found")
    assert "m" in message
    assert not upstream.heads


def test_a_connection_is_usable_after_a_refused_body(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer(CHAT.whole))
    with Client(gateway.address) as client:
        for body in (BROKEN["cut"], BROKEN["deep arrays"], b'{"model":"m","model":"m"}'):
            client.send(request("POST", CHAT.path, body))
            assert client.read().status == 400
        client.send(request("POST", CHAT.path, b'{"model":"m","messages":[]}'))
        assert client.read().status == 200
