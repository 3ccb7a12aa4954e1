"""The task that brings records from the journals of this `data_dir` to the store, each once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from penstock.audit.journals import directory, instances
from penstock.audit.packer import Packer
from penstock.audit.unshipped import Taker, Unshipped
from penstock.engine import OpenRows
from penstock.instance import is_live
from penstock.observe.logs import Log
from penstock.store.interface import StoreAwayError, StoreError
from penstock.times import DAY_US

REASON = "records: the store does not take them"
UNREAD = "records: their journal cannot be read"


class ShippingEngine(Protocol):
    """What shipping tells native."""

    def journal_shipped(self, segments: list[tuple[str, int]]) -> None: ...
    def shipping(self, records: int, failures: int, oldest_us: int) -> None: ...


class Pace(Struct, frozen=True, kw_only=True):
    """Times in seconds."""

    batch: float = 1.0
    """After so long what has come is shipped."""
    most_bytes: int = 4 << 20
    least_bytes: int = 64 << 10
    """Of the journal in one batch; less while the store does not answer in time."""
    scan: float = 10.0
    """How often journals are looked for whose process is gone. Sooner at first, after one `batch`, two, four and so on:
    while native looks through a journal its process seems to live."""
    ask: float = 60.0
    """How often the store is asked anew how far it is: it may have been put back from a copy meanwhile."""
    first: float = 0.2
    longest: float = 30.0
    """Between tries while the store is away."""
    degraded: float = 10.0
    """For so long that is nobody's business."""
    hurry: float = 60.0
    """Older records are shipped before other work."""
    last: float = 2.0
    """What is shipped at the end of the process may take so long."""


class Shipper:
    """Started with the engine; stopped once native has written the last record."""

    def __init__(
        self,
        taker: Taker,
        data_dir: str,
        own: str,
        engine: ShippingEngine,
        log: Log,
        *,
        retain_us: int,
        room_bytes: int = 0,
        degraded: Callable[[list[str]], None] = lambda _reasons: None,
        tidy: Callable[[], None] = lambda: None,
        pace: Pace = Pace(),  # noqa: B008 (immutable)
        open_rows: OpenRows,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        """`own` is the instance of this process; `room_bytes` what its journal may take, 0: that is not known; `tidy`
        removes directories in which nothing is left."""
        self._taker, self._data_dir, self._engine, self._log = taker, data_dir, engine, log
        self._retain_us, self._room_bytes, self._tidy = retain_us, room_bytes, tidy
        self._degraded, self._pace, self._open_rows, self._now_us = degraded, pace, open_rows, now_us
        self._packer = Packer()
        self._own = self._unshipped(own, own=True)
        self._dead: dict[str, Unshipped] = {}
        self._told: dict[str, int] = {}
        self._most_bytes = pace.most_bytes
        self._failures = self._in_a_row = self._left_bytes = self._gone_records = 0
        self._failing_since: float | None = None
        self._scans_at = self._scan_pause = 0.0
        self._asked: float | None = None
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins, whatever the store does."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Ships what is left of this process, or leaves it to the next one."""
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=self._pace.last)
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        self._packer.close()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        self._asked = loop.time()  # of this process the store has nothing yet, and those of others are unknown anyway
        while True:
            begun, was_stopping = loop.time(), self._stopping.is_set()
            try:
                more = await self._round()
            except Exception as error:
                self._fail(error)
                if was_stopping:
                    return
                await self._pause(self._backoff_s())
                continue
            self._recover()
            if not more and was_stopping:
                return
            await self._pause(0 if more else begun + self._pace.batch - loop.time())

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._stopping.wait()

    async def _round(self) -> bool:
        """A batch of each journal; whether there is more."""
        if not self._stopping.is_set():
            await self._scan()
        journals = [self._own] if self._stopping.is_set() else [self._own, *self._dead.values()]
        await self._learn(journals)
        more = False
        refused: StoreError | OSError | None = None
        try:
            for each in [each for each in journals if not each.is_done]:
                try:
                    more |= await self._step(each)
                except (StoreError, OSError) as error:
                    refused = refused or error  # that of one journal holds up no other
        finally:
            self._tell(journals)
            if not all(each.is_known for each in journals):
                self._asked = None  # it fell silent, or is not where it was: nor need it be with the others
        if refused is not None:
            raise refused
        return more

    async def _learn(self, journals: list[Unshipped]) -> None:
        """Asks the store how far it is where that is not known; now and then with all, those it once had all of too."""
        now = asyncio.get_running_loop().time()
        is_due = self._asked is None or now - self._asked > self._pace.ask
        if is_due:
            self._asked = None  # until it has answered
            for each in (self._own, *self._dead.values()):
                each.is_known = False
        unknown = [each for each in journals if not each.is_known]
        if unknown:
            marks = await self._taker.watermarks([each.instance for each in unknown])
            for each in unknown:
                each.learn(marks.get(each.instance))
        if is_due:
            self._asked = now

    async def _step(self, journal: Unshipped) -> bool:
        today = self._now_us() // DAY_US
        days = (today - self._retain_us // DAY_US, today + 1)
        try:
            hurry = self._stopping.is_set() or self._is_behind()
            return await journal.step(self._most_bytes, days, hurry=hurry)
        except OSError as error:
            if journal is self._own:
                raise
            self._log.error("a journal cannot be read: its records stay there", path=journal.path, error=str(error))
            self._let_go(journal.instance)  # until it is found again
            return False

    def _let_go(self, instance: str) -> None:
        self._gone_records += self._dead.pop(instance).records
        self._told.pop(instance, None)

    async def _scan(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._scans_at:
            return
        self._scan_pause = min(self._pace.scan, 2 * self._scan_pause or self._pace.batch)
        self._scans_at = now + self._scan_pause
        found, self._left_bytes = await self._packer.run(self._look)
        for instance in self._dead.keys() - found:
            self._let_go(instance)
        for instance in found - self._dead.keys():
            self._dead[instance] = self._unshipped(instance)

    def _unshipped(self, instance: str, *, own: bool = False) -> Unshipped:
        path = os.path.join(directory(self._data_dir), instance)
        return Unshipped(path, self._taker, self._packer, self._open_rows, own=own)

    def _look(self) -> tuple[set[str], int]:
        """The instances whose process is gone, and how many bytes of this one's journal are not shipped."""
        self._tidy()
        dead = {
            os.path.basename(path)
            for path in instances(self._data_dir)
            if os.path.basename(path) != self._own.instance and not is_live(path)
        }
        with contextlib.suppress(OSError):  # reading it says so
            return dead, self._own.left_bytes()
        return dead, 0

    def _is_behind(self) -> bool:
        late = self._own.oldest_us and self._now_us() - self._own.oldest_us > self._pace.hurry * 1e6
        return bool(late) or 0 < self._room_bytes // 4 < self._left_bytes

    def _tell(self, journals: list[Unshipped]) -> None:
        moved = [(each.instance, each.segment) for each in journals if self._told.get(each.instance, 0) != each.segment]
        if moved:
            self._engine.journal_shipped(moved)
            self._told |= dict(moved)

    def _report(self) -> None:
        journals = [self._own, *self._dead.values()]
        oldest = min((each.oldest_us for each in journals if each.oldest_us), default=0)
        records = self._gone_records + sum(each.records for each in journals)
        self._engine.shipping(records, self._failures, oldest)

    def _fail(self, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        self._failures += 1
        self._in_a_row += 1
        if isinstance(error, StoreAwayError):
            self._most_bytes = max(self._pace.least_bytes, self._most_bytes // 2)
        text = str(error) if isinstance(error, StoreError | OSError) else repr(error)
        if self._failing_since is None:
            self._failing_since = now
            why = "it cannot be read" if isinstance(error, OSError) else "the store does not take them now"
            self._log.warning(f"records wait in the journal: {why}", error=text)
        elif now - self._failing_since >= self._pace.degraded:
            self._degraded([UNREAD if isinstance(error, OSError) else REASON])
        self._report()

    def _recover(self) -> None:
        if self._failing_since is not None:
            seconds = round(asyncio.get_running_loop().time() - self._failing_since, 1)
            self._log.info("records are shipped again", after_s=seconds)
            self._degraded([])
        self._failing_since, self._in_a_row = None, 0
        self._most_bytes = min(self._pace.most_bytes, self._most_bytes * 2)
        self._report()

    def _backoff_s(self) -> float:
        longest = min(self._pace.longest, self._pace.first * 2.0 ** min(self._in_a_row - 1, 16))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 (so that nodes do not come back together)
