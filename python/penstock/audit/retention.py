"""What is older than `audit.retain` goes from the store; tables of the days that come are made ahead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from penstock.observe.logs import Log
from penstock.store.interface import StoreError
from penstock.times import DAY_US, HOUR_US

AHEAD = 2
"""Days whose tables are made ahead."""
SUMS_US = 400 * DAY_US
"""Sums stay at least so long: they hold no request, and months are compared with those of the year before."""
MARKS_DAYS = 30
"""Watermarks stay so much longer than records: with one gone, a journal that comes back would be shipped again."""
EVERY_S = 3_600.0
AGAIN_S = 60.0
"""After the store did not answer."""
PAUSE_S = 0.05
"""Between two pieces: others write too."""


class Shelf(Protocol):
    """What retention needs of the store's records."""

    async def now_us(self) -> int: ...
    async def make_days(self, days: list[int]) -> None: ...
    async def purge_records(self, before_day: int) -> int: ...
    async def purge_usage(self, before_hour: int) -> int: ...
    async def purge_watermarks(self, before_day: int) -> int: ...
    async def wipe(self) -> None: ...


class Retention:
    """A task of its own, on every node: what one has done, the next finds done."""

    def __init__(
        self,
        shelf: Shelf,
        log: Log,
        *,
        retain_us: int,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._shelf, self._log, self._retain_us = shelf, log, retain_us
        self._pause, self._now_us = pause, now_us
        self._unwiped = True
        """Something was removed and may still be on disk: by this process, or by one killed before it wiped."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins, whatever the store does."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """A piece that has begun is done or not."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                await self.keep()
            except StoreError as error:
                self._log.debug("the store cannot be looked after now", error=str(error))
                await self._pause(AGAIN_S)
            else:
                await self._pause(EVERY_S)

    async def keep(self) -> None:
        """Once through all of it. Raises `StoreError`."""
        # A clock that is ahead, here or there, must not remove anything.
        now_us = min(self._now_us(), await self._shelf.now_us())
        today = now_us // DAY_US
        await self._shelf.make_days([today + n for n in range(AHEAD + 1)])
        first_day = (now_us - self._retain_us) // DAY_US
        first_hour = (now_us - max(self._retain_us, SUMS_US)) // HOUR_US
        removed = await self._all(self._shelf.purge_records, first_day)
        removed += await self._all(self._shelf.purge_usage, first_hour)
        await self._shelf.purge_watermarks(first_day - MARKS_DAYS)
        if self._unwiped:
            await self._shelf.wipe()
            self._unwiped = False
        if removed:
            self._log.info("records that are too old were removed from the store", before_day=_date(first_day))

    async def _all(self, purge: Callable[[int], Awaitable[int]], before: int) -> int:
        removed = 0
        while piece := await purge(before):
            removed += piece
            self._unwiped = True
            await self._pause(PAUSE_S)
        return removed


def _date(day: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(day * 86_400))
