"""The crossing to native: the only importer of `_native`, and the asyncio side of its questions."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

NOOP, ADMIN = 0, 1
"""Kinds of question: how long does the loop take; a request on the admin port."""

MAX_AT_ONCE = 64
"""Questions in work at a time; more wait in native's ring, whose bound answers 503."""

Handler = Callable[[bytes], Awaitable[bytes]]


class Native(Protocol):
    """What `_native.Engine` does; its docstrings stand in `_native.pyi`."""

    @property
    def question_fd(self) -> int: ...
    def start(self, snapshot: bytes, listeners: list[tuple[int, str]]) -> None: ...
    def apply(self, snapshot: bytes) -> None: ...
    def questions(self) -> list[tuple[int, int, bytes]]: ...
    def answer(self, id: int, payload: bytes) -> None: ...
    def status(self) -> bytes: ...
    def degraded(self, reasons: list[str]) -> None: ...
    def drain(self) -> None: ...
    def close_listeners(self) -> None: ...
    def idle(self) -> bool: ...
    def stop(self, timeout_ms: int) -> bool: ...


MakeNative = Callable[[bytes], Native]


class ForkedError(RuntimeError):
    """The engine was used in a child process: its threads stayed with the parent."""


def make_native(options: bytes) -> Native:
    """The compiled engine. Raises ImportError when it was not built."""
    from penstock._native import Engine as Compiled

    return Compiled(options)


class Engine:
    """One engine and the questions it asks, for one process and one event loop."""

    def __init__(self, native: Native, handlers: dict[int, Handler], report: Callable[[str], None]) -> None:
        self._native, self._handlers, self._report = native, handlers, report
        self._pid = os.getpid()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: deque[tuple[int, int, bytes]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, snapshot: bytes, listeners: list[tuple[int, str]]) -> None:
        """Starts the threads and serves; raises ValueError when the snapshot is refused."""
        native = self._ours()
        native.start(snapshot, listeners)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(native.question_fd, self._wake)

    def apply(self, snapshot: bytes) -> None:
        """Swaps the snapshot; raises ValueError when it is refused, and the old one keeps serving."""
        self._ours().apply(snapshot)

    def status(self) -> dict[str, Any]:
        """Revision, connections, requests in flight, buffered bytes, tasks."""
        found: dict[str, Any] = msgspec.json.decode(self._ours().status())
        return found

    def drain(self) -> None:
        """Not ready any more; still accepting, every answer closes its connection."""
        self._ours().drain()

    def close_listeners(self) -> None:
        """No new connections."""
        self._ours().close_listeners()

    def idle(self) -> bool:
        """No request is in flight."""
        return self._ours().idle()

    async def stop(self, timeout_ms: int) -> bool:
        """Joins the threads; whether they ended by themselves. Then nothing of the engine is left in the loop."""
        native = self._ours()
        ended = await asyncio.to_thread(native.stop, timeout_ms)  # the loop still hears signals meanwhile
        if self._loop is not None:
            self._loop.remove_reader(native.question_fd)
            self._loop = None
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()
        return ended

    def _ours(self) -> Native:
        if os.getpid() != self._pid:
            raise ForkedError("the engine does not survive fork: start a new process instead")
        return self._native

    def _wake(self) -> None:
        if not self._waiting:  # else native's ring holds the rest, bounded
            self._waiting.extend(self._native.questions())
        self._work()

    def _work(self) -> None:
        while self._waiting and len(self._tasks) < MAX_AT_ONCE:
            number, kind, payload = self._waiting.popleft()
            if kind == NOOP:
                self._native.answer(number, b"")
                continue
            task = asyncio.ensure_future(self._answer(number, kind, payload))
            self._tasks.add(task)
            task.add_done_callback(self._done)
        if self._loop is not None:
            # A full house must not spin on a readable descriptor.
            if self._waiting:
                self._loop.remove_reader(self._native.question_fd)
            else:
                self._loop.add_reader(self._native.question_fd, self._wake)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._waiting and self._loop is not None:
            self._work()

    async def _answer(self, number: int, kind: int, payload: bytes) -> None:
        handler = self._handlers.get(kind)
        if handler is None:
            self._report(f"native asked a question of unknown kind {kind}")
            return
        try:
            answer = await handler(payload)
        except Exception as error:
            self._report(f"a question of kind {kind} failed: {error!r}")
            return  # its deadline and default answer hold in native
        self._native.answer(number, answer)
