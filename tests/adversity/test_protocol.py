"""HTTP as clients really speak it: pipelining, old versions, HEAD, expectations, chunks, large parts, coded answers."""

import gzip
import json
import zlib
from typing import Any

import pytest

from tests.support.gateway import Gateway
from tests.support.kinds import CHAT, DIALECTS, OLLAMA_CHAT, Kind
from tests.support.raw import Client, exchange, get, post, request
from tests.support.scene import ask, open_request
from tests.support.script import NDJSON, SSE, Pause, Send, Step, answer, chunk, head, stream, whole
from tests.support.upstream import Upstream, steps

BODY = json.dumps(CHAT.request("m", stream=False)).encode()
STREAMED = json.dumps(CHAT.request("m")).encode()


def test_pipelined_requests_are_answered_in_order(gateway: Gateway, upstream: Upstream) -> None:
    upstream.answer = lambda seen: answer({"n": seen.json()["n"]})
    bodies = [json.dumps({"model": "m", "n": number}).encode() for number in range(20)]
    with Client(gateway.address) as client:
        client.send(b"".join(request("POST", CHAT.path, body) for body in bodies))
        assert [client.read().json()["n"] for _ in bodies] == list(range(20))


def test_a_refused_request_in_a_pipeline_does_not_disturb_the_next(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer(CHAT.whole))
    broken = request("POST", CHAT.path, b"{")
    with Client(gateway.address) as client:
        client.send(broken + request("POST", CHAT.path, BODY) + broken)
        assert [client.read().status for _ in range(3)] == [400, 200, 400]


def test_an_old_client_gets_a_stream_that_ends_with_the_connection(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(stream(list(CHAT.frames)))
    head_ = f"POST {CHAT.path} HTTP/1.0\r\nhost: localhost\r\ncontent-length: {len(STREAMED)}\r\n\r\n".encode()
    got = exchange(gateway.address, head_ + STREAMED)
    assert got.framing == "close"
    assert got.header("transfer-encoding") is None
    assert got.body == b"".join(CHAT.frames)


def test_an_old_client_gets_a_whole_answer(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer(CHAT.whole))
    head_ = f"POST {CHAT.path} HTTP/1.0\r\ncontent-length: {len(BODY)}\r\nhost: localhost\r\n\r\n".encode()
    with Client(gateway.address) as client:
        client.send(head_ + BODY)
        assert client.read().json() == CHAT.whole
        assert client.wait_closed() == b""


def test_close_is_honoured(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(stream(list(CHAT.frames)))
    with Client(gateway.address) as client:
        client.send(request("POST", CHAT.path, STREAMED, {"connection": "close"}))
        got = client.read()
        assert got.header("connection") == "close"
        assert got.framing == "chunked"
        assert client.wait_closed() == b""


@pytest.mark.parametrize("path", ["/", "/health/live", "/health/ready"])
def test_head_has_the_head_and_no_body(gateway: Gateway, path: str) -> None:
    with Client(gateway.address) as client:
        client.send(request("HEAD", path) + request("GET", "/health/live"))
        assert client.read("HEAD").status == 200
        assert client.read("GET").status == 200


def test_an_expectation_is_met_before_the_body_is_read(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer(CHAT.whole))
    with Client(gateway.address) as client:
        headers = {"expect": "100-continue", "content-length": str(len(BODY))}
        client.send(request("POST", CHAT.path, b"", headers))
        assert client.read_head().status == 100
        client.send(BODY)
        assert client.read().status == 200
    assert upstream.requests[0].header("expect") is None


def test_an_expectation_of_a_refused_body_gets_the_refusal_alone(gateway: Gateway, upstream: Upstream) -> None:
    headers = {"expect": "100-continue", "content-length": str(1 << 40)}
    with Client(gateway.address) as client:
        client.send(request("POST", CHAT.path, b"", headers))
        got = client.read_head()
        assert (got.status, got.error_code) == (413, "body_too_large")
    assert not upstream.heads


@pytest.mark.parametrize("protocol", ["websocket", "h2c"])
def test_an_upgrade_is_refused_in_the_error_shape(gateway: Gateway, upstream: Upstream, protocol: str) -> None:
    headers = {"connection": "upgrade", "upgrade": protocol, "sec-websocket-key": "x", "sec-websocket-version": "13"}
    got = exchange(gateway.address, request("GET", "/v1/realtime?model=m", headers=headers), "GET")
    assert 400 <= got.status < 500
    assert got.error_code
    assert got.json()["error"]["message"]
    assert not upstream.heads


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_chunked_body_reaches_the_upstream_whole(gateway: Gateway, upstream: Upstream, size: int) -> None:
    upstream.always(answer(CHAT.whole))
    head_ = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\ntrailer: x\r\n\r\n"
    pieces = [BODY[start : start + size] for start in range(0, len(BODY), size)]
    chunks = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    with Client(gateway.address) as client:
        client.send(head_ + chunks + b"0\r\nx-trailer: secret\r\n\r\n" + request("GET", "/health/live"))
        assert client.read().status == 200
        assert client.read("GET").status == 200
    assert upstream.requests[0].body == BODY
    assert b"secret" not in upstream.requests[0].head
    assert upstream.requests[0].header("content-length") == str(len(BODY))


def test_a_request_a_byte_at_a_time_is_a_request(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer(CHAT.whole))
    with Client(gateway.address) as client:
        for byte in request("POST", CHAT.path, BODY):
            client.send(bytes([byte]))
        assert client.read().json() == CHAT.whole
    assert upstream.requests[0].body == BODY


@pytest.mark.parametrize("size", [10, 70_000, 3_000_000])
@pytest.mark.parametrize("model_first", [True, False])
def test_multipart_of_any_size_and_order_passes(
    gateway: Gateway, upstream: Upstream, size: int, model_first: bool
) -> None:
    upstream.always(answer({"text": "hi"}))
    sound = (b"\r\n--b" + bytes(range(256))) * (size // 261 + 1)
    model = b'--bound\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n'
    file = b'--bound\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + sound + b"\r\n"
    body = (model + file if model_first else file + model) + b"--bound--\r\n"
    headers = {"content-type": "multipart/form-data; boundary=bound"}
    assert post(gateway.address, "/v1/audio/transcriptions", body, headers).json() == {"text": "hi"}
    seen = upstream.requests[0]
    assert seen.body == body
    assert seen.header("content-type") == "multipart/form-data; boundary=bound"


CODINGS: dict[str, Any] = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("coding", CODINGS)
def test_a_coded_answer_is_decoded(gateway: Gateway, upstream: Upstream, coding: str) -> None:
    text = json.dumps({**CHAT.whole, "pad": "x" * 100_000}).encode()
    upstream.always(whole(CODINGS[coding](text), content_encoding=coding))
    got = ask(gateway, CHAT, stream=False)
    assert got.body == text
    assert got.header("content-encoding") is None
    assert upstream.requests[0].header("accept-encoding") == "identity"


@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
def test_a_coded_stream_is_decoded_frame_by_frame(gateway: Gateway, upstream: Upstream, kind: Kind) -> None:
    packer = zlib.compressobj(wbits=31)
    pieces = [packer.compress(frame) + packer.flush(zlib.Z_SYNC_FLUSH) for frame in kind.frames] + [packer.flush()]
    upstream.always(stream(pieces, kind.media, gap=0.02, content_encoding="gzip"))
    got = ask(gateway, kind)
    assert got.body == b"".join(kind.frames)
    assert got.header("content-encoding") is None
    assert got.pieces[-1][0] - got.pieces[0][0] > 0.03


def test_a_coded_error_is_decoded(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(whole(gzip.compress(b'{"error":{"message":"x"}}'), 400, content_encoding="gzip"))
    assert ask(gateway, CHAT).json() == {"error": {"message": "x"}}


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body_have_none(gateway: Gateway, upstream: Upstream, status: int) -> None:
    upstream.always([Send(head(status, {"x": "y"}))])
    with open_request(gateway, CHAT, stream=False) as client:
        got = client.read()
        assert got.body == b"" or got.status >= 500
        client.send(request("GET", "/health/live"))
        assert client.read("GET").status == 200


def test_an_answer_without_length_ends_with_its_connection(gateway: Gateway, upstream: Upstream) -> None:
    text = json.dumps(CHAT.whole).encode()
    from tests.support.script import Cut

    upstream.always([Send(head(200, {"content-type": "application/json"}) + text), Cut("fin")])
    assert ask(gateway, CHAT, stream=False).body == text


def test_an_answer_that_comes_before_the_body_was_sent_is_relayed(gateway: Gateway, upstream: Upstream) -> None:
    upstream.early = answer({"error": {"message": "no"}}, 413, connection="close")
    assert ask(gateway, CHAT, stream=False, pad="x" * 20_000_000).status == 413


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions"])
def test_the_version_in_the_path_may_be_left_out(gateway: Gateway, upstream: Upstream, path: str) -> None:
    upstream.always(answer(CHAT.whole))
    assert post(gateway.address, path, BODY).status == 200
    assert upstream.requests[0].target == "/v1/chat/completions"


def test_a_query_string_arrives_unchanged(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer(CHAT.whole))
    assert post(gateway.address, f"{CHAT.path}?a=%2F&b=c%20d&a=+", BODY).status == 200
    assert upstream.requests[0].target == "/v1/chat/completions?a=%2F&b=c%20d&a=+"


def test_headers_over_the_bounds_are_a_431(gateway: Gateway, upstream: Upstream) -> None:
    many = {f"x-{number}": "y" for number in range(200)}
    for headers in ({"x": "y" * 40_000}, many):
        got = post(gateway.address, CHAT.path, BODY, headers)
        assert (got.status, got.error_code) == (431, "headers_too_large")
    assert not upstream.heads


def test_a_known_path_with_a_wrong_method_is_a_405(gateway: Gateway, upstream: Upstream) -> None:
    for method in ("GET", "PUT", "DELETE"):
        got = exchange(gateway.address, request(method, "/v1/embeddings"), method)
        assert (got.status, got.error_code) == (405, "method_not_allowed"), method
    assert not upstream.heads


@pytest.mark.parametrize(
    ("path", "shape"), [("/v1/nonsense", "openai"), ("/nonsense", "openai"), ("/api/nonsense", "ollama")]
)
def test_an_unknown_path_is_a_404_in_the_dialect_of_the_path(gateway: Gateway, path: str, shape: str) -> None:
    got = get(gateway.address, path)
    assert (got.status, got.error_code) == (404, "path_not_found")
    kind = CHAT if shape == "openai" else OLLAMA_CHAT
    assert kind.error_message(got)


def test_frames_leave_as_soon_as_they_are_whole(gateway: Gateway, upstream: Upstream) -> None:
    frames = list(CHAT.frames)
    upstream.always(stream(frames, SSE, gap=0.05))
    got = ask(gateway, CHAT)
    arrivals = [at for at, _ in got.pieces]
    assert len(arrivals) >= len(frames) - 1
    assert arrivals[-1] - arrivals[0] > 0.05 * (len(frames) - 2)


def test_half_a_frame_does_not_leave(gateway: Gateway, upstream: Upstream) -> None:
    first, second, *rest = OLLAMA_CHAT.frames
    script: list[Step] = [Send(chunk(first)), Send(chunk(second[:9])), Pause(0.3), Send(chunk(second[9:]))]
    upstream.always(steps(stream([], NDJSON)[:1], script, *(Send(chunk(each)) for each in rest), Send(b"0\r\n\r\n")))
    got = ask(gateway, OLLAMA_CHAT)
    assert all(piece.endswith(b"\n") for _, piece in got.pieces)


def test_request_ids_and_traces_are_made_or_kept(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer(CHAT.whole))
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    got = post(gateway.address, CHAT.path, BODY, {"x-request-id": "mine-1", "traceparent": trace, "baggage": "a=b"})
    assert got.header("x-request-id") == "mine-1"
    sent = upstream.requests[0].header("traceparent") or ""
    assert sent.split("-")[1] == trace.split("-")[1]
    assert sent.split("-")[2] != trace.split("-")[2]
    assert upstream.requests[0].header("baggage") is None
    for bad in ("a b", "x" * 5000, "<script>"):
        again = post(gateway.address, CHAT.path, BODY, {"x-request-id": bad, "traceparent": "00-zz"})
        assert again.header("x-request-id") not in (None, "", bad)
