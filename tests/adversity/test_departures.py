"""A client that leaves, at any phase and in any way, ends the upstream's work within a second and leaves nothing."""

import time

import pytest

from tests.support.gateway import Gateway
from tests.support.kinds import ALL, CHAT, DIALECTS, Kind
from tests.support.raw import Client, request
from tests.support.scene import ask, open_request
from tests.support.script import Hold, Pause, Send, answer, chunk, head, stream, stream_head
from tests.support.upstream import Seen, Upstream, steps
from tests.support.wait import until

WAYS = ["close", "half-close", "reset"]


def leave(client: Client, way: str) -> float:
    """Leaves; returns when."""
    if way == "reset":
        client.reset()
    elif way == "half-close":
        client.sock.shutdown(1)
    else:
        client.close()
    return time.monotonic()


def assert_cancelled(seen: Seen, left: float) -> None:
    assert seen.departed.wait(5), "the upstream was never left"
    assert seen.departed_at - left < 1.0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "part", [b"", b"P", b"POST /v1/chat/comp", b"POST /v1/chat/completions HTTP/1.1\r\nhost: local"]
)
def test_leaving_before_the_head_is_whole_reaches_nobody(
    gateway: Gateway, upstream: Upstream, way: str, part: bytes
) -> None:
    with Client(gateway.address) as client:
        client.send(part)
        leave(client, way)
        gateway.assert_idle() if way != "half-close" else client.wait_closed()
    assert not upstream.heads


@pytest.mark.parametrize("way", WAYS)
def test_leaving_amid_the_body_reaches_nobody(gateway: Gateway, upstream: Upstream, way: str) -> None:
    with Client(gateway.address) as client:
        client.send(request("POST", CHAT.path, b'{"model":"m"', {"content-length": "1000"}))
        idle = gateway.baseline["in flight"]
        until(lambda: gateway.counts()["in flight"] > idle, "the request is in flight")
        leave(client, way)
        until(lambda: gateway.counts()["in flight"] == idle, "the request is gone", 1.0)
    assert not upstream.heads


@pytest.mark.parametrize("stream_asked", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
def test_leaving_before_the_first_byte_cancels_upstream(
    gateway: Gateway, upstream: Upstream, kind: Kind, way: str, stream_asked: bool
) -> None:
    upstream.always([Hold()])
    with open_request(gateway, kind, stream_asked) as client:
        seen = upstream.wait_request()
        assert_cancelled(seen, leave(client, way))


@pytest.mark.parametrize("way", WAYS)
def test_leaving_behind_a_long_pipeline_cancels_upstream(gateway: Gateway, upstream: Upstream, way: str) -> None:
    upstream.always([Hold()])
    with open_request(gateway, CHAT, True) as client:
        seen = upstream.wait_request()
        client.send(request("POST", CHAT.path, b"x" * 100_000, {}))
        assert_cancelled(seen, leave(client, way))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_leaving_amid_a_stream_cancels_upstream(gateway: Gateway, upstream: Upstream, kind: Kind, way: str) -> None:
    upstream.always([stream_head(kind.media), Send(chunk(kind.frames[0])), Hold()])
    with open_request(gateway, kind) as client:
        got = client.read_head()
        assert next(client.pieces(got)) == kind.frames[0]
        assert_cancelled(upstream.wait_request(), leave(client, way))


@pytest.mark.parametrize("way", WAYS)
def test_leaving_amid_a_steady_stream_cancels_upstream(gateway: Gateway, upstream: Upstream, way: str) -> None:
    beats = [step for _ in range(2000) for step in (Send(chunk(CHAT.frames[0])), Pause(0.005))]
    upstream.always(steps(stream_head(), beats, Hold()))
    with open_request(gateway, CHAT) as client:
        got = client.read_head()
        assert next(client.pieces(got))
        assert_cancelled(upstream.wait_request(), leave(client, way))


def test_leaving_amid_a_whole_answer_cancels_upstream(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always([Send(head(200, {"content-type": "application/json", "content-length": "1000"}) + b"{"), Hold()])
    with open_request(gateway, CHAT, stream=False) as client:
        until(lambda: upstream.requests and upstream.requests[0].sent, "the answer began")
        assert_cancelled(upstream.requests[0], leave(client, "close"))


def test_leaving_while_the_upstream_takes_the_body_cancels_it(gateway: Gateway, upstream: Upstream) -> None:
    model = b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nm\r\n'
    file = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
    sound = model + file + b"x" * 200_000
    headers = {"content-type": "multipart/form-data; boundary=b", "content-length": str(10_000_000)}
    with Client(gateway.address) as client:
        client.send(request("POST", "/v1/audio/transcriptions", sound, headers))
        until(lambda: upstream.heads, "the upload reached the upstream")
        left = leave(client, "close")
        assert upstream.connections[-1].closed.wait(5)
        assert upstream.connections[-1].closed_at - left < 1.0


def test_an_idle_connection_may_be_left_in_any_way(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer(CHAT.whole))
    for way in WAYS:
        with open_request(gateway, CHAT, stream=False) as client:
            assert client.read().status == 200
            leave(client, way)
            if way == "half-close":
                assert client.wait_closed() == b""


def test_a_thousand_departures_leave_nothing(gateway: Gateway, upstream: Upstream, rounds: int) -> None:
    upstream.always([stream_head(), Send(chunk(CHAT.frames[0])), Hold()])
    for _ in range(rounds):
        clients = [open_request(gateway, CHAT) for _ in range(10)]
        for number, client in enumerate(clients):
            if number % 3:
                client.read_head()
            leave(client, WAYS[number % 2 * 2])
            client.close()
    upstream.always(stream(list(CHAT.frames)))
    assert CHAT.outcome(ask(gateway, CHAT).body) == "complete"
    gateway.assert_idle()
    until(lambda: upstream.open_connections() <= 8, "the upstream's connections are given up")
