"""A `data_dir` that was lost: limits go on from what the store knows, of which native is told once, before anything is
shipped: what the store has of this process would count twice.

A mark beside native's file of counts says that this is to be done, until that file has what native was told: whatever
ends the process meanwhile, another one begins with it again. The process whose native has the file does it, and alone
removes the mark; while that is there none on this `data_dir` ships anything: what they use is in their journals and
native's file, and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Protocol

import msgspec

from penstock.audit.journals import OpenJournal, instances
from penstock.engine import open_journal
from penstock.instance import is_live
from penstock.observe.logs import Log
from penstock.private_file import sync_directory
from penstock.store.interface import StoreError

if TYPE_CHECKING:
    from penstock.limits.earlier import Used

LIMITS = "limits"
MARK = "limits.incomplete"
UNKNOWN = "limits: what was used before data_dir was lost is not known yet"
UNWRITTEN = "limits: what was used before data_dir was lost is not written to data_dir yet"
UNREMOVED = f"limits: nothing is shipped before {MARK} can be removed from data_dir"
FIRST_S, LONGEST_S = 0.2, 30.0
"""Between tries while the store is away."""
DEGRADED_S = 10.0
FAILURES, GIVE_UP_S = 5, 120.0
"""So often and for so long the store refuses to add up, though it answers, before that is given up."""
LOOK_S = 0.5
"""How often it is looked whether native has written what it was told, and whether another process is done or gone."""
LAST_S = 2.0
"""How long the end of the process waits for native to be told."""


class EarlierEngine(Protocol):
    """What native is told by, and whether it has written that."""

    def limits_earlier(self, used: bytes) -> None: ...
    def limits_kept(self) -> bool | None: ...


def is_incomplete(data_dir: str, own: str, open_journal: OpenJournal = open_journal) -> bool:
    """Whether nothing here tells what limits have used, or told it completely; then it is marked, unless another
    process has just removed that. Asked by the process `own` before native begins to write. Raises OSError.
    """
    mark = os.path.join(data_dir, MARK)
    if os.path.exists(mark):
        return True
    if _has_counts(data_dir, own, open_journal):
        return os.path.exists(mark)  # those of another process, which made it meanwhile
    with contextlib.suppress(FileExistsError):
        os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        _put_name(mark, own)
    return True


def forget_mark(data_dir: str) -> None:
    """What is shipped from now on may have been counted here: the store's sums are no longer what is missing. Raises
    OSError.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(data_dir, MARK))


def _put_name(mark: str, own: str) -> None:
    """Says in the mark who completes this: processes of earlier builds do so, too, where none that lives is named."""
    with contextlib.suppress(OSError):
        fd = os.open(mark, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, os.pwrite(fd, own.encode(), 0))
        finally:
            os.close(fd)


def _has_counts(data_dir: str, own: str, open_journal: OpenJournal) -> bool:
    """Whether native's file is here, or a journal of another process in which anything stands."""
    if os.path.exists(os.path.join(data_dir, LIMITS)):
        return True
    others = [path for path in instances(data_dir) if os.path.basename(path) != own]
    return any(_has_entries(path, open_journal) for path in others)


def _has_entries(path: str, open_journal: OpenJournal) -> bool:
    try:
        return bool(open_journal(path).read(0, 0, 1, is_live(path))[0])
    except OSError:
        return False  # it is none, or nobody can count it


class Lost:
    """Tells native once what the store knows, where `data_dir` is marked."""

    def __init__(
        self,
        gather: Callable[[], Awaitable[list[Used]]],
        data_dir: str,
        own: str,
        engine: EarlierEngine,
        log: Log,
        *,
        is_ready: Callable[[], bool],
        degraded: Callable[[list[str]], None],
    ) -> None:
        """`gather` asks the store; `own` names this process; `is_ready`: native knows all keys that there are, and so
        their limits.
        """
        self._gather, self._engine, self._log = gather, engine, log
        self._data_dir, self._own, self._mark = data_dir, own, os.path.join(data_dir, MARK)
        self._is_ready, self._degraded = is_ready, degraded
        self._stopping, self._told = asyncio.Event(), asyncio.Event()
        self._asking: asyncio.Task[list[Used]] | None = None
        self._is_late = False
        """Native is about to stop."""
        self._is_stuck = False
        """The mark cannot be removed, which was logged."""

    async def complete(self) -> bool:
        """Returns once native was told and has written it, be it that of another process, however long that takes;
        whether anything may be shipped then. False: the process ends, and the next one begins with all of this again.
        """
        with self._late(UNKNOWN):
            is_told = await self._tell()
        if is_told is None:
            return False
        if is_told:
            with self._late(UNWRITTEN):
                if not await self._until(lambda: self._engine.limits_kept() is True):
                    return False
        if not self._is_marked():
            return True  # another process has completed it
        with self._late(UNREMOVED):
            return await self._until(self._removes_mark)

    async def settle(self) -> None:
        """Before native stops: waits a while for it to be told; what is not told by then never is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_S):
                await self._told.wait()
        self._is_late = not self._told.is_set()
        if self._asking is not None:
            self._asking.cancel()

    def stop(self) -> None:
        """Native has written its last word."""
        self._stopping.set()

    async def _tell(self) -> bool | None:
        """Whether native was told anything, once it is to be; None: it is too late for that."""
        try:
            if not await self._until(lambda: self._engine.limits_kept() is not None or not self._is_marked()):
                return None
            if self._engine.limits_kept() or not self._is_marked():
                return False  # a process before this one was, or another one
            _put_name(self._mark, self._own)
            self._asking = asyncio.ensure_future(self._ask())
            used = [] if self._is_late else await self._asking
            if self._is_late:
                self._asking.cancel()
                return None
            self._engine.limits_earlier(msgspec.json.encode(used))  # also of nothing: who asks later knows that it was
            if used:
                self._log.warning("data_dir is new: limits go on from the sums of the store", sums=len(used))
            return bool(used)
        except asyncio.CancelledError:
            if self._asking is not None:
                self._asking.cancel()
            return None
        except Exception as error:
            self._log.error("what limits have used before is not known: they begin anew", error=str(error))
            self._engine.limits_earlier(b"[]")
            return False
        finally:
            self._told.set()
            self._asking = None
            del self._gather  # and all that it was answered

    async def _until(self, is_so: Callable[[], bool]) -> bool:
        """Looks again and again; False: native has stopped without that."""
        while not is_so():
            if self._stopping.is_set():
                return False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._stopping.wait()
        return True

    def _is_marked(self) -> bool:
        return os.path.exists(self._mark)

    def _removes_mark(self) -> bool:
        """False: it is still there, or would be after a cut of power."""
        try:
            forget_mark(self._data_dir)
            sync_directory(self._data_dir)
        except OSError as error:
            if not self._is_stuck:
                self._is_stuck = True
                self._log.error(UNREMOVED, error=str(error))
            return False
        return True

    async def _ask(self) -> list[Used]:
        """Raises `StoreError` once the store has refused for long."""
        loop = asyncio.get_running_loop()
        pause_s, failures, failing_since, is_said = FIRST_S, 0, 0.0, False
        while True:
            if self._is_ready():
                try:
                    return await self._gather()
                except StoreError as error:
                    failing_since = failing_since if failures else loop.time()
                    # While the store is away nothing can be shipped either.
                    failures = failures + 1 if self._is_ready() else 0
                    if failures and not is_said:
                        is_said = True
                        self._log.error("the store does not tell what limits have used yet", error=str(error))
                    if failures >= FAILURES and loop.time() - failing_since >= GIVE_UP_S:
                        raise
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_S)

    @contextlib.contextmanager
    def _late(self, reason: str) -> Iterator[None]:
        """What takes long is named as degraded."""
        loop = asyncio.get_running_loop()
        degrading = loop.call_later(DEGRADED_S, self._degraded, [reason])
        try:
            yield
        finally:
            degrading.cancel()
            if loop.time() >= degrading.when():
                self._degraded([])
