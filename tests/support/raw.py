"""A raw HTTP/1.1 client: sends exactly the bytes it is given and reads answers strictly, noting when bytes came."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

DEADLINE = 10.0


class Closed(Exception):
    """The peer ended the connection: `clean` when by FIN, with `got` bytes of an unfinished answer."""

    def __init__(self, clean: bool, got: bytes) -> None:
        super().__init__(f"closed {'cleanly' if clean else 'by reset'} after {got[:200]!r}")
        self.clean = clean
        self.got = got


@dataclass
class Answer:
    """One answer, read whole. `pieces` are the body's chunks with their arrival times."""

    version: str
    status: int
    headers: list[tuple[str, str]]
    received: bytearray = field(default_factory=bytearray)
    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    framing: str = "empty"
    head: bytes = b""

    @property
    def body(self) -> bytes:
        return bytes(self.received)

    def header(self, name: str) -> str | None:
        values = [value for each, value in self.headers if each == name]
        assert len(values) < 2, f"{name} came {len(values)} times"
        return values[0] if values else None

    @property
    def error_code(self) -> str | None:
        return self.header("x-penstock-error")

    def json(self) -> Any:
        return json.loads(self.body)


def connect(address: str, seconds: float = DEADLINE) -> socket.socket:
    """Connects to `HOST:PORT`, `[V6]:PORT` or `unix:PATH`."""
    if address.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(seconds)
        sock.connect(address.removeprefix("unix:"))
        return sock
    host, _, port = address.rpartition(":")
    sock = socket.create_connection((host.strip("[]"), int(port)), seconds)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Client:
    """One connection. Every read has a deadline, so that a hang is a failure."""

    def __init__(self, address: str, seconds: float = DEADLINE) -> None:
        self.address = address
        self.sock = connect(address, seconds)
        self._seconds = seconds
        self._buffer = bytearray()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        """Leaves with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.sock.close()

    def close(self) -> None:
        self.sock.close()

    def _more(self, got: bytes | bytearray = b"") -> None:
        try:
            data = self.sock.recv(65536)
        except ConnectionError:
            raise Closed(False, bytes(got) + bytes(self._buffer)) from None
        except TimeoutError:
            raise AssertionError(
                f"a hang: nothing came for {self._seconds} s after {bytes(got + self._buffer)[-300:]!r}"
            ) from None
        if not data:
            raise Closed(True, bytes(got) + bytes(self._buffer))
        self._buffer += data

    def _until(self, mark: bytes, got: bytes | bytearray = b"") -> bytes:
        while (end := self._buffer.find(mark)) < 0:
            self._more(got)
        return self._cut(end + len(mark))

    def _take(self, size: int, got: bytes | bytearray = b"") -> bytes:
        while len(self._buffer) < size:
            self._more(got)
        return self._cut(size)

    def _cut(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def read_head(self) -> Answer:
        """Reads the next head, 1xx included."""
        head = self._until(b"\r\n\r\n")
        first, *lines = head.decode("latin-1")[:-4].split("\r\n")
        version, status, *_ = first.split(" ", 2)
        assert version in ("HTTP/1.1", "HTTP/1.0"), first
        pairs = [line.split(":", 1) for line in lines]
        headers = [(name.lower(), value.strip()) for name, value in pairs]
        answer = Answer(version, int(status), headers, head=head)
        if answer.header("transfer-encoding"):
            assert answer.header("transfer-encoding") == "chunked"
            assert answer.header("content-length") is None, "both framings"
            answer.framing = "chunked"
        elif (length := answer.header("content-length")) is not None:
            answer.framing = "fixed" if int(length) else "empty"
        elif answer.status >= 200 and answer.status not in (204, 304):
            answer.framing = "close"
        return answer

    def pieces(self, answer: Answer) -> Iterator[bytes]:
        """Reads the body piece by piece as it comes; raises Closed when it is cut."""
        match answer.framing:
            case "chunked":
                while size := int(self._until(b"\r\n", answer.received).strip(), 16):
                    data = self._take(size, answer.received)
                    assert self._take(2, answer.received) == b"\r\n", "a chunk does not end with CRLF"
                    yield self._note(answer, data)
                assert self._until(b"\r\n", answer.received) == b"\r\n", "trailers were sent"
            case "fixed":
                left = int(answer.header("content-length") or 0)
                while left:
                    if not self._buffer:
                        self._more(answer.received)
                    data = self._cut(min(left, len(self._buffer)))
                    left -= len(data)
                    yield self._note(answer, data)
            case "close":
                with contextlib.suppress(Closed):
                    while True:
                        if not self._buffer:
                            self._more()
                        yield self._note(answer, self._cut(len(self._buffer)))

    def _note(self, answer: Answer, data: bytes) -> bytes:
        answer.received += data
        answer.pieces.append((time.monotonic(), data))
        return data

    def read(self, method: str = "POST") -> Answer:
        """Reads one whole final answer; interim ones are skipped."""
        answer = self.read_head()
        while answer.status < 200:
            answer = self.read_head()
        if method != "HEAD":
            for _ in self.pieces(answer):
                pass
        return answer

    def read_all(self) -> list[Answer]:
        """Reads answers until the peer closes."""
        answers: list[Answer] = []
        with contextlib.suppress(Closed):
            while True:
                answers.append(self.read())
        return answers

    def wait_closed(self, seconds: float = 5.0) -> bytes:
        """Waits until the peer closes; returns what came before."""
        self.sock.settimeout(seconds)
        with contextlib.suppress(Closed):
            while True:
                self._more()
        return self._cut(len(self._buffer))


def request(
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    host: str = "localhost",
) -> bytes:
    """The bytes of a plain request with a length."""
    named = {"host": host, "content-type": "application/json", **(headers or {})}
    if body or method == "POST":
        named.setdefault("content-length", str(len(body)))
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body


def exchange(address: str, data: bytes, method: str = "POST", seconds: float = DEADLINE) -> Answer:
    """Sends these bytes on a fresh connection and reads one answer."""
    with Client(address, seconds) as client:
        client.send(data)
        return client.read(method)


def post(
    address: str, path: str, value: Any, headers: Mapping[str, str] | None = None, seconds: float = DEADLINE
) -> Answer:
    """Posts JSON, or bytes as they are."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return exchange(address, request("POST", path, body, headers), seconds=seconds)


def get(address: str, path: str, headers: Mapping[str, str] | None = None) -> Answer:
    return exchange(address, request("GET", path, headers=headers), "GET")
