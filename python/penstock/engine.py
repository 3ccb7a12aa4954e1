"""The crossing to native: the only importer of `_native`, and the asyncio side of its questions."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

NOOP, ADMIN, VERIFY, LEASE, SPEND = 0, 1, 2, 3, 4
"""Kinds of question: how long does the loop take; a request on the admin port; is this secret right; leases of limits
that nodes share; what a key has spent."""

MAX_AT_ONCE = 64
"""Admin requests in work at a time. Verifications are bounded by native, and queued by their handler."""

MAX_WAITING = 1024
"""Admin requests that wait for their turn; one more is left to its deadline, at which native answers 503."""

Handler = Callable[[bytes], Awaitable[bytes]]


class Native(Protocol):
    """What `_native.Engine` does; its docstrings stand in `_native.pyi`."""

    @property
    def question_fd(self) -> int: ...
    def start(self, snapshot: bytes, listeners: list[tuple[int, str]]) -> None: ...
    def apply(self, snapshot: bytes) -> None: ...
    def put_keys(self, batch: bytes) -> None: ...
    def digest(self, credential: str) -> str: ...
    def keys_current(self, current: bool) -> None: ...
    def used_keys(self) -> bytes: ...
    def limits_use(self, scope: str, name: str) -> bytes: ...
    def limits_reset(self, scope: str, name: str) -> bool: ...
    def limits_earlier(self, used: bytes) -> None: ...
    def limits_kept(self) -> bool | None: ...
    def shared_state(self, away: bool, nodes: int) -> None: ...
    def shared_pressed(self, tags: list[str]) -> None: ...
    def journal_shipped(self, segments: list[tuple[str, int]]) -> None: ...
    def shipping(self, records: int, failures: int, oldest_us: int) -> None: ...
    def questions(self) -> list[tuple[int, int, bytes]]: ...
    def answer(self, id: int, payload: bytes) -> None: ...
    def status(self) -> bytes: ...
    def degraded(self, reasons: list[str]) -> None: ...
    def sinks(self, facts: bytes) -> None: ...
    def drain(self) -> None: ...
    def close_listeners(self) -> None: ...
    def idle(self) -> bool: ...
    def stop(self, timeout_ms: int) -> bool: ...


MakeNative = Callable[[bytes], Native]


class NativeEncoding(Protocol):
    """What `_native.Encoding` does."""

    def count(self, text: bytes) -> int: ...
    def count_chat(self, model: str, body: bytes) -> int: ...


class ForkedError(RuntimeError):
    """The engine was used in a child process: its threads stayed with the parent."""


def make_native(options: bytes) -> Native:
    """The compiled engine. Raises ImportError when it was not built."""
    from penstock._native import Engine as Compiled

    return Compiled(options)


class Rows(Protocol):
    """What `_native.Rows` does."""

    @property
    def size(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def records(self) -> int: ...
    @property
    def segment(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def at_end(self) -> bool: ...
    @property
    def ended(self) -> bool: ...
    @property
    def sequence(self) -> int: ...
    @property
    def hash(self) -> bytes: ...
    @property
    def day(self) -> int: ...
    @property
    def days(self) -> list[int]: ...
    @property
    def oldest_us(self) -> int: ...
    @property
    def begun(self) -> bytes: ...
    def interrupted(self) -> list[int]: ...
    def piece(self, at: int, most_bytes: int) -> bytes: ...
    def tuples(self, at: int, most: int) -> tuple[list[tuple[int | str | bytes | None, ...]], int]: ...


class JournalReader(Protocol):
    """What `_native.JournalReader` does."""

    def read(
        self, segment: int, offset: int, most_bytes: int, live: bool
    ) -> tuple[list[tuple[int, int, int, int, bytes, bytes | None]], int, int, bool]: ...


class RowReader(Protocol):
    """What else `_native.JournalReader` does."""

    def rows(
        self,
        place: tuple[int, int, int],
        most_bytes: int,
        live: bool,
        days: tuple[int, int],
        begun: bytes,
        *,
        spare: bool,
    ) -> Rows: ...


def open_journal(directory: str) -> JournalReader:
    """A reader of one instance's journal. Raises ImportError when native was not built."""
    from penstock._native import JournalReader as Compiled

    return Compiled(directory)


class OpenRows(Protocol):
    """What `open_rows` does."""

    def __call__(self, directory: str, /, *, past_cache: bool = False) -> RowReader: ...


def open_rows(directory: str, *, past_cache: bool = False) -> RowReader:
    """The same, for whoever wants rows. `past_cache`: the journal is written past the system's page cache."""
    from penstock._native import JournalReader as Compiled

    return Compiled(directory, past_cache=past_cache)


def forget_private(directory: str, before_us: int, live: bool) -> tuple[int, int, int]:
    """See `_native.forget_private`. Raises ImportError when native was not built."""
    from penstock._native import forget_private as compiled

    return compiled(directory, before_us, live)


def verify_journals(directory: str, heads: bytes, live: list[str]) -> bytes:
    """See `_native.verify_journals`. Raises ImportError when native was not built."""
    from penstock._native import verify_journals as compiled

    return compiled(directory, heads, live)


def open_encoding(directory: str, name: str) -> NativeEncoding:
    """The table of an encoding, mapped. Raises ImportError when the native library was not built."""
    from penstock._native import Encoding

    return Encoding(directory, name)


def check_pattern(pattern: str) -> str | None:
    """See `_native.check_pattern`. Raises ImportError when native was not built."""
    from penstock._native import check_pattern as compiled

    return compiled(pattern)


def measure(model: str) -> tuple[str, int, bool]:
    """How a model's tokens are counted: encoding, factor in thousandths, whether the encoding is its own."""
    from penstock._native import measure as native

    return native(model)


class Engine:
    """One engine and the questions it asks, for one process and one event loop."""

    def __init__(self, native: Native, handlers: dict[int, Handler], report: Callable[[str], None]) -> None:
        self._native, self._handlers, self._report = native, handlers, report
        self._pid = os.getpid()
        self._tasks: set[asyncio.Task[None]] = set()
        self._administering: set[asyncio.Task[None]] = set()
        self._waiting: deque[tuple[int, bytes]] = deque()
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

    def put_keys(self, batch: bytes) -> None:
        """Applies rows to the key table; raises ValueError when the batch is refused. Allowed before `start`."""
        self._ours().put_keys(batch)

    def digest(self, credential: str) -> str:
        """What native compares a credential by."""
        return self._ours().digest(credential)

    def keys_current(self, current: bool) -> None:
        """Whether the key table is known to hold every key."""
        self._ours().keys_current(current)

    def used_keys(self) -> bytes:
        """The keys used since the last call: JSON, id → microseconds UTC."""
        return self._ours().used_keys()

    def limits_use(self, scope: str, name: str) -> bytes:
        """What is used of the limits in one place: a JSON list."""
        return self._ours().limits_use(scope, name)

    def limits_reset(self, scope: str, name: str) -> bool:
        """Forgets what was counted there; False: nothing was."""
        return self._ours().limits_reset(scope, name)

    def limits_earlier(self, used: bytes) -> None:
        """Counts what was used before anything that is known here; raises ValueError when that cannot be read."""
        self._ours().limits_earlier(used)

    def limits_kept(self) -> bool | None:
        """Whether that was told, here or to a process before this one, and is on disk; see `_native.pyi`."""
        return self._ours().limits_kept()

    def shared_state(self, away: bool, nodes: int) -> None:
        """Whether what nodes share is away, and how many nodes there are; 0: not known."""
        self._ours().shared_state(away, nodes)

    def shared_pressed(self, tags: list[str]) -> None:
        """Other nodes were refused by these limits."""
        self._ours().shared_pressed(tags)

    def journal_shipped(self, segments: list[tuple[str, int]]) -> None:
        """The store has all that is before these segments of these instances."""
        self._ours().journal_shipped(segments)

    def shipping(self, records: int, failures: int, oldest_us: int) -> None:
        """How shipping goes, for the metrics; see `_native.pyi`."""
        self._ours().shipping(records, failures, oldest_us)

    def degraded(self, reasons: list[str]) -> None:
        """What readiness names as degraded; an empty list: all is well."""
        self._ours().degraded(reasons)

    def sinks(self, facts: bytes) -> None:
        """How sinks do, for metrics."""
        self._ours().sinks(facts)

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
        for number, kind, payload in self._native.questions():
            if kind == NOOP:
                self._native.answer(number, b"")
            elif kind != ADMIN:
                self._begin(number, kind, payload)
            elif len(self._waiting) < MAX_WAITING:
                self._waiting.append((number, payload))
        self._administer()

    def _administer(self) -> None:
        while self._waiting and len(self._administering) < MAX_AT_ONCE:
            number, payload = self._waiting.popleft()
            task = self._begin(number, ADMIN, payload)
            self._administering.add(task)
            task.add_done_callback(self._administered)

    def _administered(self, task: asyncio.Task[None]) -> None:
        self._administering.discard(task)
        self._administer()

    def _begin(self, number: int, kind: int, payload: bytes) -> asyncio.Task[None]:
        task = asyncio.ensure_future(self._answer(number, kind, payload))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

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
