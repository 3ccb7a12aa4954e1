"""An upstream driven by scripts of bytes, delays and cuts, which keeps every request it saw as raw bytes."""

import asyncio
import contextlib
import json
import re
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, cast

from .loop import LoopThread
from .script import Cut, Hold, Pause, Script, Send, Step, WaitFor, answer
from .wait import until


@dataclass
class Seen:
    """One request as it arrived, and how its answer went."""

    head: bytes
    body: bytes
    connection: "Connection"
    arrived: float
    departed: threading.Event = field(default_factory=threading.Event)
    departed_at: float = 0.0
    finished: threading.Event = field(default_factory=threading.Event)
    sent: int = 0

    @property
    def method(self) -> str:
        return self.head.split(b" ", 1)[0].decode()

    @property
    def target(self) -> str:
        return self.head.split(b" ", 2)[1].decode()

    @property
    def headers(self) -> list[tuple[str, str]]:
        lines = self.head.decode("latin-1").strip("\r\n").split("\r\n")[1:]
        return [(name.lower(), value.strip()) for name, value in (line.split(":", 1) for line in lines)]

    def header(self, name: str) -> str | None:
        """The value of a header, or None; fails if it came twice."""
        values = [value for each, value in self.headers if each == name]
        assert len(values) < 2, f"{name} came {len(values)} times"
        return values[0] if values else None

    def json(self) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads(self.body))


@dataclass
class Connection:
    """One connection: how many requests it carried, and whether the peer has left it."""

    number: int
    requests: int = 0
    raw: bytearray = field(default_factory=bytearray)
    closed: threading.Event = field(default_factory=threading.Event)
    closed_at: float = 0.0


Answer = Callable[[Seen], Script]

# What no provider may ever get: keys of ours, in whatever header or body, and the header that carries them.
_OURS = re.compile(rb"sk-pen-[0-9A-Za-z]{12}-|\r\nx-penstock-key:", re.IGNORECASE)
_OURS_BYTES = 32


class _Protocol(asyncio.Protocol):
    """One connection on the upstream's side."""

    def __init__(self, upstream: "Upstream") -> None:
        self._upstream = upstream
        self._buffer = bytearray()
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._eof = False
        self._seen: Seen | None = None
        self.transport: asyncio.Transport | None = None
        self.connection = upstream._opened()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        # Not 0: asyncio's TLS would pause at once and never resume.
        self.transport.set_write_buffer_limits(high=1, low=0)
        self._upstream._track(self, asyncio.get_running_loop().create_task(self._serve()))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self.connection.raw += data
        if found := _OURS.search(self.connection.raw, max(0, len(self.connection.raw) - len(data) - _OURS_BYTES)):
            self._upstream.leaks.append(bytes(found[0]))
        self._changed.set()

    def eof_received(self) -> bool:
        self._left()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._left()
        self._writable.set()
        self._upstream._untrack(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _left(self) -> None:
        self._eof = True
        if not self.connection.closed.is_set():
            self.connection.closed_at = time.monotonic()
            self.connection.closed.set()
        seen = self._seen
        if seen is not None and not seen.departed.is_set():
            seen.departed_at = time.monotonic()
            seen.departed.set()
        self._changed.set()

    async def _more(self) -> None:
        if self._eof:
            raise ConnectionError("the peer left")
        self._changed.clear()
        await self._changed.wait()

    async def _serve(self) -> None:
        with contextlib.suppress(ConnectionError):
            if (greeting := self._upstream.on_connect) is not None:
                await self._play(greeting, None)
            while True:
                seen = await self._read_request()
                self._seen = seen
                script = self._upstream._answer(seen)
                await self._play(script, seen)
                self._seen = None
                seen.finished.set()
        if self.transport is not None:
            self.transport.close()

    async def _read_request(self) -> Seen:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            await self._more()
        head = bytes(self._buffer[: end + 4])
        del self._buffer[: end + 4]
        seen = Seen(head, b"", self.connection, time.monotonic())
        self._upstream._heard(seen)
        if (early := self._upstream.early) is not None and self.transport is not None:
            self.transport.pause_reading()
            await self._play([*early, Hold()], seen)
        if seen.header("transfer-encoding") == "chunked":
            seen.body = await self._read_chunked()
        else:
            seen.body = await self._take(int(seen.header("content-length") or 0))
        self.connection.requests += 1
        self._upstream.requests.append(seen)
        return seen

    async def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            await self._more()
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    async def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            await self._more()
        return (await self._take(end + 2))[:-2]

    async def _read_chunked(self) -> bytes:
        body = bytearray()
        while size := int((await self._line()).split(b";")[0], 16):
            body += await self._take(size)
            assert await self._take(2) == b"\r\n", "a chunk does not end with CRLF"
        while await self._line():
            pass
        return bytes(body)

    async def _play(self, script: Script, seen: Seen | None) -> None:
        assert self.transport is not None
        for step in script:
            match step:
                case Send(data):
                    # Pieces, so that `sent` tells how far a peer that does not read let us come.
                    for start in range(0, len(data), 65536):
                        piece = data[start : start + 65536]
                        self.transport.write(piece)
                        await self._writable.wait()
                        if self._eof or self.transport.is_closing():
                            raise ConnectionError("the peer left")
                        if seen is not None:
                            seen.sent += len(piece)
                case Pause(seconds):
                    await self._sleep(seconds)
                case WaitFor(event):
                    while not event.is_set():
                        await self._sleep(0.005)
                case Hold():
                    while True:
                        await self._more()
                case Cut(how):
                    if how == "reset":
                        sock = self.transport.get_extra_info("socket")
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        self.transport.abort()
                    raise ConnectionError("cut by script")

    async def _sleep(self, seconds: float) -> None:
        """Sleeps, but not on after the peer has left."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._more(), left)


class Upstream:
    """A server whose answers are scripts. `answer` may be replaced at any time; `queue` goes before it."""

    def __init__(self, loop: LoopThread, answering: Answer | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._loop = loop
        self._tls = tls
        self._queue: deque[Script] = deque()
        self._server: asyncio.Server | None = None
        self._tasks: dict[_Protocol, asyncio.Task[None]] = {}
        self.answer: Answer = answering or (lambda seen: answer({"error": "no script"}, 500))
        self.on_connect: Script | None = None
        self.early: Script | None = None
        """Sent as soon as a head has come; the body is then never read."""
        self.heads: list[Seen] = []
        self.requests: list[Seen] = []
        self.connections: list[Connection] = []
        self.leaks: list[bytes] = []
        """Parts of keys of ours that came here, ever; leaving the `with` block fails when there are any."""
        self.port = 0
        loop.run(self._listen())

    def __repr__(self) -> str:
        return f"Upstream(port={self.port}, requests={len(self.requests)}, connections={len(self.connections)})"

    def __enter__(self) -> "Upstream":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        assert not self.leaks, f"keys of ours went upstream: {self.leaks[:5]}"

    @property
    def scheme(self) -> str:
        return "http" if self._tls is None else "https"

    @property
    def root(self) -> str:
        """The base address without a path."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def queue(self, *scripts: Script) -> None:
        """The next requests get these, in order."""
        self._queue.extend(scripts)

    def always(self, script: Script) -> None:
        """Every request gets this."""
        self._queue.clear()
        self.answer = lambda seen: script

    def reset(self) -> None:
        """Forgets scripts and what was seen; connections stay."""
        self._queue.clear()
        self.on_connect = None
        self.early = None
        self.heads.clear()
        self.requests.clear()
        self.connections.clear()
        self.answer = lambda seen: answer({"error": "no script"}, 500)

    def wait_request(self, number: int = 1, seconds: float = 5.0) -> Seen:
        """Waits until that many requests have come whole; returns the last of them."""
        until(lambda: len(self.requests) >= number, f"request {number} at the upstream", seconds)
        return self.requests[number - 1]

    def open_connections(self) -> int:
        return len(self._tasks)

    def stop(self) -> None:
        """Stops listening and cuts what is open; the port is free then."""
        self._loop.run(self._close())

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Protocol(self), "127.0.0.1", 0, ssl=self._tls, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for protocol, task in list(self._tasks.items()):
            task.cancel()
            if protocol.transport is not None:
                protocol.transport.abort()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()

    def _opened(self) -> Connection:
        connection = Connection(len(self.connections))
        self.connections.append(connection)
        return connection

    def _track(self, protocol: _Protocol, task: asyncio.Task[None]) -> None:
        self._tasks[protocol] = task

    def _untrack(self, protocol: _Protocol) -> None:
        self._tasks.pop(protocol, None)

    def _heard(self, seen: Seen) -> None:
        self.heads.append(seen)

    def _answer(self, seen: Seen) -> Script:
        return self._queue.popleft() if self._queue else self.answer(seen)


def steps(*parts: Step | Sequence[Step]) -> list[Step]:
    """One script of steps and scripts."""
    flat: list[Step] = []
    for part in parts:
        flat.extend(part if isinstance(part, Sequence) else [part])
    return flat
