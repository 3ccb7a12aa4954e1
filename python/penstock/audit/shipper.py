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
        self._failures = self._left_bytes = self._gone_records = 0
        self._refused: Exception | None = None
        """What went wrong first in this round."""
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
            more, self._refused = False, None
            try:
                more = await self._round()
            except Exception as error:
                self._put_off(self._journals(), error)
            self._say()
            if was_stopping and not more:
                return
            again_at = min(each.retry_at or begun + self._pace.batch for each in self._journals())
            await self._pause(0 if more else again_at - loop.time())

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._stopping.wait()

    async def _round(self) -> bool:
        """A batch of each journal that is not put off; whether there is more."""
        if not self._stopping.is_set():
            await self._scan()
        journals = [self._own] if self._stopping.is_set() else self._due()
        await self._learn(journals)
        more = False
        known = [each for each in journals if each.is_known]
        for each in sorted(known, key=lambda each: each.failures):
            more |= await self._step(each)
            if each.failures and not self._own.failures:
                break  # the others that are left behind come later, too
        self._tell(journals)
        if not all(each.is_known for each in journals):
            self._asked = None  # it fell silent, or is not where it was: nor need it be with the others
        return more

    def _journals(self) -> list[Unshipped]:
        return [self._own, *self._dead.values()]

    def _due(self) -> list[Unshipped]:
        """Those that are not put off. Where all are it is the store that is away, and they are tried together."""
        journals, now = self._journals(), asyncio.get_running_loop().time()
        free = [each for each in journals if each.retry_at <= now]
        return free if any(each.failures == 0 for each in journals) else journals

    async def _learn(self, journals: list[Unshipped]) -> None:
        """Asks the store how far it is where that is not known; now and then with all, those it once had all of too."""
        now = asyncio.get_running_loop().time()
        is_due = self._asked is None or now - self._asked > self._pace.ask
        if is_due:
            self._asked = None  # until it has answered
            for each in self._journals():
                each.is_known = False
        unknown = [each for each in journals if not each.is_known]
        if unknown:
            try:
                marks = await self._taker.watermarks([each.instance for each in unknown])
            except Exception as error:
                self._put_off(unknown, error)
                return
            for each in unknown:
                each.learn(marks.get(each.instance))
        if is_due:
            self._asked = now

    async def _step(self, journal: Unshipped) -> bool:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            more = not journal.is_done and await self._ship(journal)
        except Exception as error:
            self._put_off([journal], error)
            for each in self._dead.values():  # for as long as that took this process's own goes first
                each.retry_at = max(each.retry_at, 2 * loop.time() - begun)
            return False
        journal.failures, journal.retry_at = 0, 0.0
        journal.most_bytes = min(self._pace.most_bytes, journal.most_bytes * 2)
        return more

    async def _ship(self, journal: Unshipped) -> bool:
        today = self._now_us() // DAY_US
        days = (today - self._retain_us // DAY_US, today + 1)
        try:
            return await journal.step(days, hurry=self._stopping.is_set() or self._is_behind())
        except OSError as error:
            if journal is self._own:
                raise
            self._log.error("a journal cannot be read: its records stay there", path=journal.path, error=str(error))
            self._let_go(journal.instance)  # until it is found again
            return False

    def _put_off(self, journals: list[Unshipped], error: Exception) -> None:
        """They wait for a while, and hold up no other."""
        self._refused = self._refused or error
        now = asyncio.get_running_loop().time()
        for each in journals:
            each.failures += 1
            each.retry_at = now + self._backoff_s(each.failures)
            if isinstance(error, StoreAwayError):
                each.most_bytes = max(self._pace.least_bytes, each.most_bytes // 2)

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
        most_bytes = self._pace.most_bytes
        return Unshipped(path, self._taker, self._packer, self._open_rows, most_bytes=most_bytes, own=own)

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
        journals = self._journals()
        oldest = min((each.oldest_us for each in journals if each.oldest_us), default=0)
        records = self._gone_records + sum(each.records for each in journals)
        self._engine.shipping(records, self._failures, oldest)

    def _say(self) -> None:
        """What people and metrics are told after a round: trouble lasts as long as any journal is put off."""
        if self._refused is not None:
            self._fail(self._refused)
        elif not any(each.failures for each in self._journals()):
            self._recover()
        self._report()

    def _fail(self, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        self._failures += 1
        text = str(error) if isinstance(error, StoreError | OSError) else repr(error)
        if self._failing_since is None:
            self._failing_since = now
            why = "it cannot be read" if isinstance(error, OSError) else "the store does not take them now"
            self._log.warning(f"records wait in the journal: {why}", error=text)
        elif now - self._failing_since >= self._pace.degraded:
            self._degraded([UNREAD if isinstance(error, OSError) else REASON])

    def _recover(self) -> None:
        if self._failing_since is not None:
            seconds = round(asyncio.get_running_loop().time() - self._failing_since, 1)
            self._log.info("records are shipped again", after_s=seconds)
            self._degraded([])
        self._failing_since = None

    def _backoff_s(self, failures: int) -> float:
        longest = min(self._pace.longest, self._pace.first * 2.0 ** min(failures - 1, 16))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 (so that nodes do not come back together)
