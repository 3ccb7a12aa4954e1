"""A client that reads slowly slows its upstream; nothing piles up in between."""

import socket
import time

import pytest

from tests.support.gateway import Gateway
from tests.support.kinds import CHAT, chunk, data
from tests.support.scene import ask, open_request
from tests.support.script import LAST, Send, head, stream, stream_head
from tests.support.script import chunk as framed
from tests.support.upstream import Seen, Upstream
from tests.support.wait import until

TOTAL = 64 << 20
# What the kernel may hold between two sockets on the way: twice its largest send and receive buffers.
KERNEL = 40 << 20


def settled(seen: Seen) -> int:
    """Waits until the upstream has been stopped for a while; returns how far it came."""
    last = [-1, time.monotonic()]

    def still() -> bool:
        if seen.sent != last[0]:
            last[:] = [seen.sent, time.monotonic()]
        return time.monotonic() - last[1] > 0.4

    until(still, "the upstream is held back", 20)
    return seen.sent


@pytest.mark.slow
@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
def test_a_reader_that_stops_stops_its_upstream(gateway: Gateway, upstream: Upstream, streamed: bool) -> None:
    frame = data(chunk("x" * 16_000))
    count = TOTAL // len(frame)
    if streamed:
        body = frame * count + b"".join(CHAT.frames[-3:])
        pieces = [framed(frame) * count, *(framed(each) for each in CHAT.frames[-3:])]
        upstream.always([stream_head(), *(Send(piece) for piece in pieces), Send(LAST)])
    else:
        body = b'{"pad":"' + b"x" * TOTAL + b'"}'
        length = {"content-type": "application/json", "content-length": str(len(body))}
        upstream.always([Send(head(200, length)), Send(body)])
    with open_request(gateway, CHAT, streamed) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        got = client.read_head()
        seen = upstream.wait_request()
        reached = settled(seen)
        assert reached < KERNEL
        assert gateway.metrics().value("penstock_buffered_bytes") < 1 << 20
        for _ in client.pieces(got):
            pass
    assert got.body == body


def test_one_slow_reader_does_not_hold_up_others(gateway: Gateway, upstream: Upstream) -> None:
    frame = data(chunk("x" * 16_000))
    flood = [stream_head(), Send(framed(frame) * (TOTAL // len(frame)))]
    upstream.queue(flood)
    upstream.answer = lambda seen: stream(list(CHAT.frames))
    with open_request(gateway, CHAT) as slow:
        slow.read_head()
        settled(upstream.wait_request())
        started = time.monotonic()
        for _ in range(20):
            assert ask(gateway, CHAT).body == b"".join(CHAT.frames)
        assert time.monotonic() - started < 5
