"""A TCP proxy that can be told to cut, stall or chop what passes."""

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Self

from .loop import LoopThread


class CuttingProxy:
    """Forwards to one address. `cut()` resets what is open; `refuse` turns new connections away; `chop` is the size of
    the pieces in which bytes are passed on (0: as they come). Once `cut_after` bytes have passed, every further piece
    is cut; with `cut_once` only the first one is."""

    def __init__(self, loop: LoopThread, host: str, port: int) -> None:
        self._loop = loop
        self._to = (host, port)
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.refuse = False
        self.chop = 0
        self.cut_after: int | None = None
        self.cut_once = False
        self.passed = 0
        self.connections = 0
        self.port = 0
        loop.run(self._listen())

    def __repr__(self) -> str:
        return f"CuttingProxy(port={self.port}, to={self._to}, connections={self.connections}, passed={self.passed})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def cut(self) -> None:
        """Resets every open connection on both sides."""
        self._loop.run(self._cut())

    def stop(self) -> None:
        self._loop.run(self._stop())

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _cut(self) -> None:
        for writer in list(self._open):
            _reset(writer)
        await asyncio.sleep(0)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._join(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.refuse:
            return _reset(writer)
        self._open.add(writer)
        try:
            there_reader, there_writer = await asyncio.open_connection(*self._to)
        except OSError:
            self._open.discard(writer)
            return _reset(writer)
        self._open.add(there_writer)
        try:
            await asyncio.gather(self._pump(reader, there_writer), self._pump(there_reader, writer))
        finally:
            for each in (writer, there_writer):
                self._open.discard(each)
                each.close()
                with contextlib.suppress(OSError):
                    await each.wait_closed()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                step = self.chop or len(data)
                for start in range(0, len(data), step):
                    piece = data[start : start + step]
                    writer.write(piece)
                    await writer.drain()
                    self.passed += len(piece)
                    if self.cut_after is not None and self.passed >= self.cut_after:
                        self.cut_after = None if self.cut_once else self.cut_after
                        return await self._cut()
            writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
