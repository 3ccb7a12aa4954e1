"""What our HTTP codec accepts, h11 and llhttp understand the same way; what they could read differently it refuses."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

import h11
import httptools
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.example import example

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "native/core/tests/http/hostile.tsv"
# `ROUNDS` is 20, or 200 for the whole measure (tests/conftest.py); messages are cheaper than what it counts elsewhere.
ROUNDS = 50 * int(os.environ.get("ROUNDS", "20"))
# Time to compile the codec in, for who has not run `cargo test` before.
pytestmark = pytest.mark.timeout(600)

Kind: TypeAlias = Literal["request", "response", "response head"]
Oracle: TypeAlias = Callable[[Kind, bytes], dict[str, Any]]
random = settings(max_examples=ROUNDS, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@dataclass
class Message:
    """What any of the parsers made of one message."""

    line: tuple[bytes, ...] = ()
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    """Asks the codec, through its example binary; built by cargo unless PENSTOCK_HTTP_ORACLE names one."""
    path = example("http_oracle")
    with subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin: IO[str] = process.stdin
        stdout: IO[str] = process.stdout

        def ask(kind: Kind, wire: bytes) -> dict[str, Any]:
            stdin.write(f"{kind} {wire.hex()}\n")
            stdin.flush()
            told: dict[str, Any] = json.loads(stdout.readline())
            return told

        yield ask
        stdin.close()


def corpus() -> list[tuple[str, str, bytes]]:
    rows = [line.split("\t") for line in CORPUS.read_text().splitlines() if not line.startswith("#")]
    return [(name, why, text.encode().decode("unicode_escape").encode("latin-1")) for name, why, text in rows]


# --- the three readings ---


def lowered(fields: Any) -> list[tuple[bytes, bytes]]:
    """Names in lower case, values trimmed; h11 writes codings in lower case."""
    pairs = [(bytes(name).lower(), bytes(value).strip(b" \t")) for name, value in fields]
    return [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in pairs]


def ours(told: dict[str, Any], *line: str) -> list[Message]:
    def message(m: dict[str, Any]) -> Message:
        words = [bytes.fromhex(m[w]) if isinstance(m[w], str) and w != "version" else str(m[w]).encode() for w in line]
        fields = [(bytes.fromhex(name), bytes.fromhex(value)) for name, value in m["fields"]]
        return Message(tuple(words), lowered(fields), bytes.fromhex(m["body"]))

    return [message(m) for m in told["messages"]]


def version(text: str) -> bytes:
    return {"1.0": b"Http10", "1.1": b"Http11"}.get(text, text.encode())


def path(target: bytes) -> bytes:
    """The path of an absolute target, as our codec gives it."""
    if target.lower().startswith((b"http://", b"https://")):
        return b"/" + target.split(b"//", 1)[1].partition(b"/")[2]
    return target


def by_h11(wire: bytes) -> tuple[Message, bytes] | None:
    """The first request that h11 reads and the bytes beyond it. It knows no empty line before a request line."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=64 * 1024)
    connection.receive_data(wire.removeprefix(b"\r\n"))
    message = Message()
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                line = (event.method, path(event.target), version(event.http_version.decode()))
                message = Message(line, lowered(event.headers))
            elif isinstance(event, h11.Data):
                message.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return message, connection.trailing_data[0]
            else:
                return None
    except h11.ProtocolError:
        return None


class Listener:
    """Callbacks of httptools; keeps whole messages, and the one it is in."""

    def __init__(self) -> None:
        self.seen: list[Message] = []
        self.current = Message()
        self.target = b""
        self.line: Callable[[], tuple[bytes, ...]] = lambda: ()

    def on_message_begin(self) -> None:
        self.current, self.target = Message(), b""

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.current.line:  # else a trailer
            self.current.fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.current.line = self.line()
        self.current.fields = lowered(self.current.fields)

    def on_body(self, body: bytes) -> None:
        self.current.body += body

    def on_message_complete(self) -> None:
        self.seen.append(self.current)


def by_llhttp(wire: bytes) -> tuple[list[Message], str]:
    """All requests that llhttp reads before it refuses, and why it did."""
    listener = Listener()
    parser = httptools.HttpRequestParser(listener)
    listener.line = lambda: (parser.get_method(), path(listener.target), version(parser.get_http_version()))
    try:
        parser.feed_data(wire)
    except httptools.HttpParserUpgrade:
        return listener.seen, "upgrade"
    except httptools.HttpParserError as error:
        return listener.seen, str(error)
    return listener.seen, ""


# --- requests ---

GOOD = [
    b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n",
    b"GET http://gw/a?b=c HTTP/1.1\r\nhost: GW\r\nAccept:\t*/* \r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: gw\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: gw:4000\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\n",
    b'POST /x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=b;c="d"\r\nabc\r\n0;e\r\nT: u\r\n\r\n',
    b"POST /x HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
    b"\r\nHEAD /%2F HTTP/1.1\r\nHost: [::1]:80\r\nX:\r\nX: \r\nX: \xe9\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: gw\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
]

ODD = [
    b"\r", b"\n", b"\r\n", b"\r\r\n", b"\n\r", b" ", b"\t", b"\0", b"\x0b", b"\x0c", b"\x7f", b"\xa0", b"\xff", b":",
    b";", b",", b"+", b"-", b"0", b"0x", b"00", b'"', b"\\", b"%", b"#", b"?", b"/", b"//", b"@", b"[", b"]",
    b"chunked",
    b"identity", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: evil\r\n", b"HTTP/1.0",
    b"Connection: close\r\n", b"HTTP/1.1", b"http://gw", b"Transfer-Encoding", b"\r\n\r\n", b"0\r\n\r\n", b"a: b\r\n",
    b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n",
]  # fmt: skip

edits = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 4), st.one_of(st.sampled_from(ODD), st.binary(max_size=2))), max_size=3
)


def edited(wire: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    for where, cut, odd in changes:
        at = int(where * len(wire))
        wire = wire[:at] + odd + wire[at + cut :]
    return wire


def agree(oracle: Oracle, wire: bytes) -> list[Message]:
    """Each request that we take, both take alike; they may take more, where we are stricter."""
    told = oracle("request", wire)
    mine = ours(told, "method", "target", "version")
    llhttp, why = by_llhttp(wire)
    before = rest = wire
    for n, message in enumerate(mine):
        rest = rest[told["messages"][n]["length"] :]
        assert by_h11(before) == (message, rest), f"h11 reads request {n} otherwise: {wire!r}"
        before = rest
        # llhttp knows a fixed list of methods, and stops reading HTTP where an upgrade begins.
        if n >= len(llhttp) and (why == "upgrade" or "method" in why.lower()):
            break
        assert n < len(llhttp), f"llhttp refuses request {n} ({why}) of {wire!r}"
        assert llhttp[n] == message, f"llhttp reads request {n} otherwise: {wire!r}"
    return mine


@pytest.mark.parametrize("wire", GOOD)
def test_good_requests_are_read_alike_by_all_three(oracle: Oracle, wire: bytes) -> None:
    assert len(agree(oracle, wire)) == 1


def test_hostile_requests_are_refused_for_their_reason(oracle: Oracle) -> None:
    for name, why, wire in corpus():
        assert oracle("request", wire) == {"messages": [], "end": why}, name


def test_some_hostile_requests_do_divide_the_others() -> None:
    divided = [name for name, _, wire in corpus() if (by_h11(wire) is None) != (not by_llhttp(wire)[0])]
    assert divided, "a corpus on which all parsers agree proves nothing"


@random
@given(parts=st.lists(st.sampled_from(GOOD + [wire for _, _, wire in corpus()]), min_size=1, max_size=3), changes=edits)
def test_requests_that_we_accept_are_read_alike(
    oracle: Oracle, parts: list[bytes], changes: list[tuple[float, int, bytes]]
) -> None:
    agree(oracle, edited(b"".join(parts), changes))


@random
@given(parts=st.lists(st.sampled_from(GOOD), min_size=1, max_size=3), changes=edits)
def test_good_requests_with_small_changes_are_read_alike(
    oracle: Oracle, parts: list[bytes], changes: list[tuple[float, int, bytes]]
) -> None:
    agree(oracle, edited(b"".join(parts), changes))


# --- answers ---

ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b;c="d"\r\nabc\r\n0\r\nT: u\r\n\r\n',
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end",
    b"HTTP/1.1 200 \r\nConnection: close\r\n\r\nuntil the end",
    b"HTTP/1.1 500 Zu sp\xe4t\r\nX:\r\nContent-Length: 1\r\n\r\nx",
]


def answer_by_h11(wire: bytes, method: str) -> Message | None:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=64 * 1024)
    connection.send(h11.Request(method=method, target="/", headers=[("host", "gw")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(wire)
    connection.receive_data(b"")
    answer = Message()
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Response):
                line = (str(event.status_code).encode(), version(event.http_version.decode()))
                answer = Message(line, lowered(event.headers))
            elif isinstance(event, h11.Data):
                answer.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return answer
            elif not isinstance(event, h11.InformationalResponse):
                return None
    except h11.ProtocolError:
        return None


def answer_by_llhttp(wire: bytes) -> Message | None:
    """The first answer; one that ends with the connection counts with what came."""
    listener = Listener()
    parser = httptools.HttpResponseParser(listener)
    listener.line = lambda: (str(parser.get_status_code()).encode(), version(parser.get_http_version()))
    try:
        parser.feed_data(wire)
    except httptools.HttpParserError:
        return listener.seen[0] if listener.seen else None
    return listener.seen[0] if listener.seen else listener.current


def agree_on_answer(oracle: Oracle, wire: bytes, *, to_head: bool) -> None:
    told = oracle("response head" if to_head else "response", wire)
    mine = ours(told, "status", "version")
    # An interim answer is a message of its own here; the others' way with them is not what this test is about.
    if not mine or mine[0].line[0].startswith(b"1"):
        return
    assert answer_by_h11(wire, "HEAD" if to_head else "GET") == mine[0], f"h11 reads otherwise: {wire!r}"
    if not to_head:
        assert answer_by_llhttp(wire) == mine[0], f"llhttp reads otherwise: {wire!r}"


@pytest.mark.parametrize("wire", ANSWERS)
@pytest.mark.parametrize("to_head", [False, True])
def test_good_answers_are_read_alike_by_all_three(oracle: Oracle, wire: bytes, to_head: bool) -> None:
    assert oracle("response head" if to_head else "response", wire)["messages"]
    agree_on_answer(oracle, wire, to_head=to_head)


@random
@given(wire=st.sampled_from(ANSWERS), changes=edits, to_head=st.booleans())
def test_answers_that_we_accept_are_read_alike(
    oracle: Oracle, wire: bytes, changes: list[tuple[float, int, bytes]], to_head: bool
) -> None:
    agree_on_answer(oracle, edited(wire, changes), to_head=to_head)
