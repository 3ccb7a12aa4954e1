"""A 200 that is no answer: errors as the first frame, JSON where a stream was asked for, and the reverse."""

import json
import re
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.support import raw
from tests.support.gateway import Gateway
from tests.support.kinds import ALL, CHAT, DIALECTS, MESSAGES, OLLAMA_CHAT, Kind
from tests.support.scene import ask, provider
from tests.support.script import NDJSON, SSE, Send, answer, chunk, head, stream, whole
from tests.support.upstream import Upstream

FIRST_ERRORS = [
    (CHAT, b'data: {"error":{"message":"queue is full","code":503}}\n\n'),
    (CHAT, b'data: {"error":{"message":"queue is full","code":503}}\n\ndata: [DONE]\n\n'),
    (CHAT, b': hello\n\ndata: {"error":{"message":"queue is full","type":"server_error"}}\n\n'),
    (CHAT, b'data: {"error":"queue is full"}\n\n'),
    (
        MESSAGES,
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"queue is full"}}\n\n',
    ),
    (
        MESSAGES,
        b'event: ping\ndata: {"type":"ping"}\n\n'
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"queue is full"}}\n\n',
    ),
    (OLLAMA_CHAT, b'{"error":"queue is full"}\n'),
]


@pytest.mark.parametrize(("kind", "body"), FIRST_ERRORS)
def test_an_error_as_the_first_frame_is_a_failed_answer(
    gateway: Gateway, upstream: Upstream, kind: Kind, body: bytes
) -> None:
    upstream.always(stream([body], kind.media))
    got = ask(gateway, kind)
    assert got.status >= 429, (got.head, got.body)
    assert "queue is full" in kind.error_message(got)


@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
def test_json_where_a_stream_was_asked_for_is_a_failure(gateway: Gateway, upstream: Upstream, kind: Kind) -> None:
    upstream.always(answer({"error": {"message": "not today"}}))
    got = ask(gateway, kind)
    assert got.status >= 500, (got.head, got.body)
    assert kind.error_message(got)


@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
def test_a_page_where_a_stream_was_asked_for_is_a_failure(gateway: Gateway, upstream: Upstream, kind: Kind) -> None:
    upstream.always(whole(b"<html>login</html>", kind="text/html"))
    got = ask(gateway, kind)
    assert got.status >= 500
    assert kind.error_message(got)


@pytest.mark.parametrize("body", [b"<html>bad gateway</html>", b"", b"oops", b'{"detail":"x"}', b'[{"error":{}}]'])
@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
def test_errors_of_any_shape_are_relayed(gateway: Gateway, upstream: Upstream, kind: Kind, body: bytes) -> None:
    upstream.always(whole(body, 500, kind="text/html" if body.startswith(b"<") else "application/json"))
    got = ask(gateway, kind)
    assert got.status == 500
    assert got.error_code is None
    assert got.body == body


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_a_whole_answer_passes_byte_for_byte(gateway: Gateway, upstream: Upstream, kind: Kind) -> None:
    odd = json.dumps(kind.whole, indent=3).encode() + b"\n"
    upstream.always(whole(odd))
    got = ask(gateway, kind, stream=False)
    assert got.status == 200
    assert got.body == odd


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_a_stream_passes_byte_for_byte_with_the_right_headers(gateway: Gateway, upstream: Upstream, kind: Kind) -> None:
    upstream.always(stream(list(kind.frames), kind.media))
    got = ask(gateway, kind)
    assert got.status == 200
    assert got.body == b"".join(kind.frames)
    assert (got.header("content-type") or "").split(";")[0] == kind.media
    assert got.header("x-penstock-target") == "up/m"
    if kind.media == SSE:
        assert got.header("cache-control") == "no-cache, no-transform"
        assert got.header("x-accel-buffering") == "no"


def test_an_absent_stream_means_true_to_ollama(gateway: Gateway, upstream: Upstream) -> None:
    from tests.support.raw import post

    upstream.always(stream(list(OLLAMA_CHAT.frames), NDJSON))
    got = post(gateway.address, OLLAMA_CHAT.path, {"model": "m", **OLLAMA_CHAT.body})
    assert got.body == b"".join(OLLAMA_CHAT.frames)
    assert (got.header("content-type") or "").startswith(NDJSON)


def test_interim_answers_are_skipped(gateway: Gateway, upstream: Upstream) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    upstream.always([Send(interim), *stream(list(CHAT.frames))])
    assert ask(gateway, CHAT).body == b"".join(CHAT.frames)


def interim_server(got: list[int]) -> tuple[socket.socket, threading.Thread]:
    """A server that answers 100 and 103 once it has the head, and 200 once it has the body."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            read = b""
            while b"\r\n\r\n" not in read:
                read += connection.recv(4096)
            head, _, body = read.partition(b"\r\n\r\n")
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n")
            time.sleep(0.1)
            connection.sendall(b"\r\n")
            length = int(re.findall(rb"content-length: (\d+)", head.lower())[0])
            count = len(body)
            while count < length and (more := connection.recv(1 << 20)):
                count += len(more)
            got.append(count - length)
            answer = json.dumps(CHAT.whole).encode()
            fields = f"content-type: application/json\r\ncontent-length: {len(answer)}"
            connection.sendall(f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n".encode() + answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return server, thread


@pytest.mark.parametrize("flows", [False, True], ids=["json", "form"])
def test_interim_answers_do_not_stop_a_body_that_is_being_sent(tmp_path: Path, flows: bool) -> None:
    got: list[int] = []
    server, thread = interim_server(got)
    with server:
        root = f"http://127.0.0.1:{server.getsockname()[1]}"
        config = {"providers": {"up": provider(root)}, "models": {"m": {"targets": [{"provider": "up"}]}}}
        with Gateway(tmp_path, config) as gateway:
            if flows:
                part = "--B\r\ncontent-disposition: form-data; name="
                form = f'{part}"model"\r\n\r\nm\r\n{part}"file"; filename="a"\r\n\r\n'.encode()
                form += b"x" * 20_000_000 + b"\r\n--B--\r\n"
                head = {"content-type": "multipart/form-data; boundary=B"}
                told = raw.post(gateway.address, "/v1/audio/transcriptions", form, head)
            else:
                told = ask(gateway, CHAT, False, user="x" * 20_000_000)
            assert told.status == 200, told.body
        thread.join(5)
    assert got == [0]


def test_endless_interim_answers_are_a_502(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always([Send(b"HTTP/1.1 102 Processing\r\n\r\n" * 1000)])
    got = ask(gateway, CHAT)
    assert (got.status, got.error_code) == (502, "upstream_protocol")


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_every_line_ending_is_understood(gateway: Gateway, upstream: Upstream, ending: bytes) -> None:
    frames = [frame.replace(b"\n", ending) for frame in CHAT.frames]
    upstream.always(stream(frames))
    got = ask(gateway, CHAT)
    assert CHAT.values(got.body) == CHAT.values(b"".join(CHAT.frames))


def test_what_kills_openai_clients_is_not_passed_on(gateway: Gateway, upstream: Upstream) -> None:
    first, *rest = CHAT.frames
    poison = [
        b"\xef\xbb\xbf" + first,
        b"event: ping\n\n",
        b"retry: 1000\n\n",
        b"id: 7\n" + rest[0],
        b"data:\n\n",
        *rest[1:-1],
        rest[-1][:-1],
    ]
    upstream.always(stream(poison))
    got = ask(gateway, CHAT)
    assert not got.body.startswith(b"\xef\xbb\xbf")
    assert b"retry:" not in got.body
    assert b"id:" not in got.body.replace(b'"id":', b"")
    assert CHAT.values(got.body) == CHAT.values(b"".join(CHAT.frames))
    assert got.body.endswith(b"data: [DONE]\n\n")


def test_a_frame_of_megabytes_flows_through(gateway: Gateway, upstream: Upstream) -> None:
    from tests.support.kinds import chunk as made
    from tests.support.kinds import data

    big = data(made("é" * (2 << 20)))
    frames = [big, *CHAT.frames]
    upstream.always([Send(head(200, {"content-type": SSE, "transfer-encoding": "chunked"})), *_in_pieces(frames)])
    assert ask(gateway, CHAT).body == b"".join(frames)


def _in_pieces(frames: list[bytes]) -> list[Send]:
    body = b"".join(frames)
    pieces = [body[start : start + 30_001] for start in range(0, len(body), 30_001)]
    return [*(Send(chunk(piece)) for piece in pieces), Send(b"0\r\n\r\n")]
