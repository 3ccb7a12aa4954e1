"""The demo provider over its socket: dialects by path, usage when asked, HTTP as proxies speak it."""

import json

import pytest

from tests.support.demo import RunningDemo
from tests.support.kinds import ALL, CHAT, Kind
from tests.support.raw import Client, exchange, get, post, request


def address(demo: RunningDemo) -> str:
    return demo.root.removeprefix("http://")


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_every_kind_streams_to_its_end(demo: RunningDemo, kind: Kind) -> None:
    got = post(address(demo), kind.path, kind.request("demo-1"), kind.headers)
    assert (got.status, got.framing) == (200, "chunked")
    assert (got.header("content-type") or "").startswith(kind.media)
    assert kind.outcome(got.body) == "complete"
    assert kind.text(got.body)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_every_kind_answers_whole(demo: RunningDemo, kind: Kind) -> None:
    got = post(address(demo), kind.path, kind.request("demo-1", stream=False), kind.headers)
    assert (got.status, got.framing) == (200, "fixed")
    assert set(kind.whole) - {"stop_sequence"} <= set(got.json()) | {"response", "message"}


def test_usage_comes_only_when_asked_for(demo: RunningDemo) -> None:
    asked = post(address(demo), CHAT.path, CHAT.request("demo-1"))
    silent = post(address(demo), CHAT.path, CHAT.request("demo-1", stream_options=None))
    assert [value["usage"] is not None for value in CHAT.values(asked.body)[:-1]].count(True) == 1
    assert all("usage" not in value for value in CHAT.values(silent.body)[:-1])


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_a_broken_body_is_a_400_in_the_dialect(demo: RunningDemo, kind: Kind) -> None:
    for body in (b"{", b"[]", b""):
        got = post(address(demo), kind.path, body, kind.headers)
        assert got.status == 400
        assert kind.error_message(got) if kind.dialect != "openai" else got.json()["error"]["message"]


def test_unknown_paths_and_models_are_404(demo: RunningDemo) -> None:
    for path in ("/v1/nonsense", "/api/nonsense", "/v1/models/nonsense"):
        assert get(address(demo), path).status == 404
    version = {"anthropic-version": "2023-06-01"}
    assert get(address(demo), "/v1/models/x", version).json()["error"]["type"] == "not_found_error"


def test_models_are_listed_in_the_dialect_that_asks(demo: RunningDemo) -> None:
    assert get(address(demo), "/v1/models").json()["object"] == "list"
    assert "has_more" in get(address(demo), "/v1/models", {"anthropic-version": "2023-06-01"}).json()
    assert get(address(demo), "/api/tags").json()["models"]
    assert get(address(demo), "/api/version").json()["version"]


def test_a_chunked_body_and_a_kept_connection(demo: RunningDemo) -> None:
    body = json.dumps(CHAT.request("demo-1", stream=False)).encode()
    head = f"POST {CHAT.path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    with Client(address(demo)) as client:
        client.send(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        assert client.read().status == 200
        client.send(request("HEAD", "/"))
        assert client.read("HEAD").status == 200
        client.send(request("GET", "/", headers={"connection": "close"}))
        assert client.read("GET").status == 200
        assert client.wait_closed() == b""


def test_an_expectation_is_met(demo: RunningDemo) -> None:
    body = json.dumps(CHAT.request("demo-1", stream=False)).encode()
    with Client(address(demo)) as client:
        client.send(request("POST", CHAT.path, b"", {"expect": "100-continue", "content-length": str(len(body))}))
        assert client.read_head().status == 100
        client.send(body)
        assert client.read().status == 200


@pytest.mark.parametrize("raw", [b"nonsense\r\n\r\n", b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n", b"GET / HT"])
def test_what_is_not_http_is_refused(demo: RunningDemo, raw: bytes) -> None:
    with Client(address(demo)) as client:
        client.send(raw)
        client.sock.shutdown(1)
        assert client.wait_closed().startswith(b"HTTP/1.1 400")


def test_a_client_that_leaves_does_not_disturb_the_next(demo: RunningDemo) -> None:
    for _ in range(5):
        with Client(address(demo)) as client:
            client.send(request("POST", CHAT.path, json.dumps(CHAT.request("demo-1")).encode()))
            client.read_head()
            client.reset()
    assert exchange(address(demo), request("GET", "/"), "GET").status == 200
