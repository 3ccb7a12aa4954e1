"""What is older than `audit.retain` goes from the store; tables of the days that come are made ahead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from penstock.observe.logs import Log
from penstock.store.interface import StoreAwayError, StoreError
from penstock.times import DAY_US, HOUR_US

AHEAD = 2
"""Days whose tables are made ahead."""
SUMS_US = 400 * DAY_US
"""Sums stay at least so long: they hold no request, and months are compared with those of the year before."""
MARKS_DAYS = 30
"""Watermarks stay so much longer than records, and longer than sums: with one gone, a journal that comes back would be
shipped again, and counted twice."""
LEAST_H, MOST_H = 24, 72
"""A clock is believed where a request began at least and at most so long before: what is newer a clock that is wrong
may have recorded itself."""
STEADY_US = 12 * HOUR_US
"""Or where it has gone on for so long without a jump: a gateway that nobody asks removes what is old, too.
Else it counts as `MOST_H` ahead: where requests are rare and processes short, what is old goes nevertheless."""
JUMP_US = HOUR_US
EVERY_S = 3_600.0
AGAIN_S = 60.0
"""After the store did not answer, or refused."""
PATIENCE = 60
"""So many times in a row the store may be away or busy before people are told."""
PAUSE_S = 0.05
"""Between two pieces: others write too."""


class Shelf(Protocol):
    """What retention needs of the store's records."""

    async def now_us(self) -> int: ...
    async def newest_hour(self, before: int) -> int | None: ...
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
        running_us: Callable[[], int] = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000,
    ) -> None:
        """`running_us` goes on while the machine sleeps, as the clock does."""
        self._shelf, self._log, self._retain_us = shelf, log, retain_us
        self._pause, self._now_us, self._running_us = pause, now_us, running_us
        self._ahead_us = self._steady_from_us = 0
        """How far the clock is ahead of one that nobody sets, and since when, by that: the first look is a jump."""
        self._is_doubted = False
        self._unwiped = True
        """Something was removed and may still be on disk: by this process, or by one killed before it wiped."""
        self._removed = self._failures = 0
        self._said = set[str]()
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
            except Exception as error:
                self._say(error)
                self._failures += 1
                await self._pause(AGAIN_S)
            else:
                self._failures, self._said = 0, set()
                await self._pause(EVERY_S)

    async def keep(self) -> None:
        """Once through all of it; what is refused of one step holds up no other. Raises the first `StoreError`."""
        refused, self._removed = list[StoreError](), 0
        # A clock that is ahead, here or there, must not remove anything.
        now_us = min(self._now_us(), await self._shelf.now_us())
        today = now_us // DAY_US
        believed_us = await self._believed_us(now_us)
        first_day = (believed_us - self._retain_us) // DAY_US
        first_hour = (believed_us - max(self._retain_us, SUMS_US)) // HOUR_US
        marks_day = min(first_day - MARKS_DAYS, first_hour // 24 - 1)
        steps: list[Callable[[], Awaitable[object]]] = [
            lambda: self._shelf.make_days([today + n for n in range(AHEAD + 1)]),
            lambda: self._all(self._shelf.purge_records, first_day),
            lambda: self._all(self._shelf.purge_usage, first_hour),
            self._wipe,
        ]
        for step in steps:
            try:
                await step()
            except StoreError as error:
                refused.append(error)
        if self._removed:
            self._log.info("records that are too old were removed from the store", before_day=_date(first_day))
        for other in refused[1:]:
            self._say(other)
        if refused:
            raise refused[0]  # what watermarks guard may still be there
        await self._shelf.purge_watermarks(marks_day)

    async def _believed_us(self, now_us: int) -> int:
        """The time, if it is near what the store has seen, or steady, else as late as it might be by what the store has
        seen; both may be the same clock, here and there."""
        is_steady, hour = self._is_steady(now_us), now_us // HOUR_US
        seen = await self._shelf.newest_hour(hour - LEAST_H)
        if is_steady or seen is None or hour - seen <= MOST_H:
            self._is_doubted = False
            return now_us
        if not self._is_doubted:
            self._is_doubted = True
            text = "the clock is days ahead of what was recorded last: for 12 hours it removes as if it were three"
            self._log.warning(text, clock=_date(hour // 24), recorded=_date(seen // 24))
        return (seen + MOST_H) * HOUR_US

    def _is_steady(self, now_us: int) -> bool:
        running_us = self._running_us()
        if abs(now_us - running_us - self._ahead_us) > JUMP_US:
            self._steady_from_us = running_us
        self._ahead_us = now_us - running_us
        return running_us - self._steady_from_us >= STEADY_US

    def _say(self, error: Exception) -> None:
        """People are told of each fault once until all works again; that the store is away or busy only if it lasts."""
        text = str(error) if isinstance(error, StoreError) else repr(error)
        is_usual = isinstance(error, StoreAwayError) and self._failures < PATIENCE
        if is_usual or text in self._said:
            self._log.debug("the store cannot be looked after now", error=text)
            return
        self._said.add(text)
        self._log.warning("what is too old stays in the store: it cannot be looked after", error=text)

    async def _all(self, purge: Callable[[int], Awaitable[int]], before: int) -> None:
        while piece := await purge(before):
            self._removed += piece
            self._unwiped = True
            await self._pause(PAUSE_S)

    async def _wipe(self) -> None:
        if self._unwiped:
            await self._shelf.wipe()
            self._unwiped = False


def _date(day: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(day * 86_400))
