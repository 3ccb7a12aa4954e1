"""A `data_dir` that was lost: limits go on from what the store knows, of which native is told once, before anything is
shipped: what the store has of this process would count twice.

A file says that this is to be done and by whom, until what native was told is on disk, too: whatever ends the process
meanwhile, another one begins with it again. While the file is there no process on this `data_dir` ships anything: what
they use is in their journals and native's file, and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

import msgspec

from penstock.audit.journals import OpenJournal, instances
from penstock.engine import open_journal
from penstock.instance import LOCK, is_held
from penstock.observe.logs import Log
from penstock.store.interface import StoreError

if TYPE_CHECKING:
    from penstock.limits.earlier import Used

LIMITS = "limits"
MARK = "limits.incomplete"
REASON = "limits: what was used before data_dir was lost is not known yet"
WRITTEN_S = 5.0
"""By then native has written what it was told."""
FIRST_S, LONGEST_S = 0.2, 30.0
"""Between tries while the store is away."""
DEGRADED_S = 10.0
FAILURES, GIVE_UP_S = 5, 120.0
"""So often and for so long the store refuses to add up, though it answers, before that is given up."""
LOOK_S = 1.0
"""How often it is looked whether another process is done with it, or gone."""
LAST_S = 2.0
"""How long the end of the process waits for native to be told."""


class EarlierEngine(Protocol):
    """What native is told by."""

    def limits_earlier(self, used: bytes) -> None: ...


class Duty(Enum):
    """Who tells native what was used before."""

    NOBODY = auto()
    """All is known, or nobody can tell."""
    OURS = auto()
    OTHERS = auto()
    """Another process, which runs."""


def duty_of(data_dir: str, own: str, open_journal: OpenJournal = open_journal) -> Duty:
    """Whether nothing here tells what limits have used, or told it completely, and who mends that; asked by the process
    `own`, first before native begins to write. Raises OSError.
    """
    mark = os.path.join(data_dir, MARK)
    while True:
        is_new = not os.path.exists(mark)
        if is_new and _has_counts(data_dir, own, open_journal):
            return Duty.NOBODY
        try:
            fd = os.open(mark, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if is_new else 0), 0o600)
        except (FileExistsError, FileNotFoundError):
            continue  # another process made or removed it meanwhile
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if not _is_same(fd, mark):
                continue
            owner = os.read(fd, 100).decode(errors="replace").strip()
            if owner != own and _is_live(data_dir, owner):
                return Duty.OTHERS
            os.ftruncate(fd, os.pwrite(fd, own.encode(), 0))
        finally:
            os.close(fd)
        return Duty.OURS


def forget_duty(data_dir: str) -> None:
    """What is shipped from now on may have been counted here: the store's sums are no longer what is missing. Raises
    OSError.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(data_dir, MARK))


def _has_counts(data_dir: str, own: str, open_journal: OpenJournal) -> bool:
    """Whether native's file is here, or a journal of another process in which anything stands."""
    if os.path.exists(os.path.join(data_dir, LIMITS)):
        return True
    others = [path for path in instances(data_dir) if os.path.basename(path) != own]
    return any(_has_entries(path, open_journal) for path in others)


def _has_entries(path: str, open_journal: OpenJournal) -> bool:
    try:
        return bool(open_journal(path).read(0, 0, 1, is_held(os.path.join(path, LOCK)))[0])
    except OSError:
        return False  # it is none, or nobody can count it


def _is_same(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _is_live(data_dir: str, owner: str) -> bool:
    names = {os.path.basename(path): path for path in instances(data_dir)}
    return owner in names and is_held(os.path.join(names[owner], LOCK))


class Lost:
    """Tells native once what the store knows."""

    def __init__(
        self,
        gather: Callable[[], Awaitable[list[Used]]],
        data_dir: str,
        engine: EarlierEngine,
        log: Log,
        *,
        duty: Callable[[], Duty],
        is_ready: Callable[[], bool],
        degraded: Callable[[list[str]], None],
    ) -> None:
        """`gather` asks the store; `duty`: whose it is now; `is_ready`: native knows all keys that there are, and so
        their limits.
        """
        self._gather, self._engine, self._log = gather, engine, log
        self._data_dir, self._duty = data_dir, duty
        self._is_ready, self._degraded = is_ready, degraded
        self._stopping, self._told = asyncio.Event(), asyncio.Event()
        self._asking: asyncio.Task[list[Used]] | None = None
        self._is_late = False
        """Native is about to stop."""

    async def complete(self) -> bool:
        """Returns once native was told and has had time to write it, however long the store is away; whether anything
        may be shipped then. False: the process ends, and the next one begins with all of this again.
        """
        if not await self._is_ours():
            self._told.set()
            return True
        self._asking = asyncio.ensure_future(self._ask())
        try:
            used = [] if self._is_late else await self._asking
            if self._is_late:
                self._asking.cancel()
                return False
            if used:
                self._engine.limits_earlier(msgspec.json.encode(used))
                self._log.warning("data_dir is new: limits go on from the sums of the store", sums=len(used))
        except asyncio.CancelledError:
            self._asking.cancel()
            return False
        except Exception as error:
            used = []
            self._log.error("what limits have used before is not known: they begin anew", error=str(error))
        finally:
            self._told.set()
        if used:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WRITTEN_S):
                    await self._stopping.wait()
        try:
            forget_duty(self._data_dir)
            _sync(self._data_dir)
        except OSError as error:
            self._log.error("limits will be told once more what they know: this cannot be removed", error=str(error))
        return True

    async def _is_ours(self) -> bool:
        """Once no other process is at it."""
        try:
            while (duty := self._duty()) is Duty.OTHERS:  # noqa: ASYNC110 (another process tells nobody)
                await asyncio.sleep(LOOK_S)
        except OSError as error:
            self._log.error("what limits have used before is not known: they begin anew", error=str(error))
            return False
        return duty is Duty.OURS

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

    async def _ask(self) -> list[Used]:
        """Raises `StoreError` once the store has refused for long."""
        loop = asyncio.get_running_loop()
        pause_s, failures, failing_since, is_said = FIRST_S, 0, 0.0, False
        degrading = loop.call_later(DEGRADED_S, self._degraded, [REASON])
        try:
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
        finally:
            degrading.cancel()
            if loop.time() >= degrading.when():
                self._degraded([])


def _sync(directory: str) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
