"""What goes when, what is made ahead, and that a clock that is wrong removes nothing."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from penstock.audit.retention import AGAIN_S, EVERY_S, PATIENCE, PAUSE_S, STEADY_US, Retention
from penstock.observe.logs import Log
from penstock.store.interface import StoreAwayError, StoreError, StoreRefusedError
from penstock.times import DAY_US, HOUR_US

TODAY = 20_783


class FakeShelf:
    """Rows by day, sums by hour."""

    def __init__(self) -> None:
        self.clock_us = TODAY * DAY_US + 5 * HOUR_US
        self.days = list(range(TODAY - 100, TODAY + 1))
        self.hours = list(range((TODAY - 500) * 24, TODAY * 24, 24))
        self.made: list[int] = []
        self.marks_before: list[int] = []
        self.wiped = 0
        self.away = self.is_read = False
        self.refuses: StoreError | None = None

    async def now_us(self) -> int:
        if self.away:
            raise StoreAwayError("away")
        return self.clock_us

    async def newest_hour(self, before: int) -> int | None:
        return max((hour for hour in self.hours if hour < before), default=None)

    async def make_days(self, days: list[int]) -> None:
        self.made = days

    async def purge_records(self, before_day: int) -> int:
        if self.refuses is not None:
            raise self.refuses
        old = [day for day in self.days if day < before_day][:7]
        self.days = [day for day in self.days if day not in old]
        return len(old)

    async def purge_usage(self, before_hour: int) -> int:
        old = [hour for hour in self.hours if hour < before_hour][:7]
        self.hours = [hour for hour in self.hours if hour not in old]
        return len(old)

    async def purge_watermarks(self, before_day: int) -> int:
        self.marks_before.append(before_day)
        return 0

    async def wipe(self) -> None:
        if self.is_read:
            raise StoreAwayError("being read")
        self.wiped += 1


def retention(shelf: FakeShelf, days: int, clock_us: int, pauses: list[float], lines: list[bytes]) -> Retention:
    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if seconds != PAUSE_S:
            shelf.away = False
            await asyncio.sleep(3_600 if len(pauses) > 50 else 0)

    log = Log("debug", "json", lines.append)
    return Retention(shelf, log, retain_us=days * DAY_US, pause=pause, now_us=lambda: clock_us)


async def test_records_go_by_retain_and_sums_stay_for_a_year_and_more() -> None:
    shelf, pauses, lines = FakeShelf(), list[float](), list[bytes]()
    await retention(shelf, 30, shelf.clock_us, pauses, lines).keep()
    assert (shelf.days[0], shelf.days[-1]) == (TODAY - 30, TODAY)
    assert shelf.hours[0] == (TODAY - 399) * 24
    assert shelf.made == [TODAY, TODAY + 1, TODAY + 2]
    assert (shelf.marks_before, shelf.wiped) == ([TODAY - 401], 1)
    assert len(pauses) == 10 + 15
    assert msgspec.json.decode(lines[-1])["before_day"] == "2026-10-27"
    await retention(shelf, 30, shelf.clock_us, pauses, lines).keep()
    assert (shelf.wiped, len(lines)) == (2, 1), "a process that was killed may not have come to it"


async def test_what_is_still_in_a_log_that_others_read_is_wiped_the_next_time() -> None:
    shelf = FakeShelf()
    running = retention(shelf, 30, shelf.clock_us, [], [])
    shelf.is_read = True
    with pytest.raises(StoreAwayError, match="being read"):
        await running.keep()
    shelf.is_read = False
    await running.keep()
    await running.keep()
    assert shelf.wiped == 1


async def test_what_is_refused_of_one_thing_holds_up_no_other_and_is_told_once() -> None:
    shelf, pauses, lines = FakeShelf(), list[float](), list[bytes]()
    shelf.refuses = StoreRefusedError("a view needs it")
    running = retention(shelf, 30, shelf.clock_us, pauses, lines)
    running.start()
    async with asyncio.timeout(5):
        while pauses.count(AGAIN_S) < 3:  # noqa: ASYNC110 (a condition with a deadline)
            await asyncio.sleep(0)
    await running.stop()
    assert (len(shelf.days), shelf.hours[0], shelf.wiped) == (101, (TODAY - 399) * 24, 1)
    assert shelf.marks_before == [], "they guard what is still there"
    told = [msgspec.json.decode(line) for line in lines]
    assert [(each["error"], each["level"]) for each in told if "error" in each][:3] == [
        ("a view needs it", "warning"),
        ("a view needs it", "debug"),
        ("a view needs it", "debug"),
    ]


async def test_that_a_store_is_busy_for_long_is_told() -> None:
    shelf, lines, again = FakeShelf(), list[bytes](), asyncio.Semaphore(0)
    shelf.is_read = True

    async def pause(seconds: float) -> None:
        if seconds == AGAIN_S:
            again.release()
        await asyncio.sleep(0)

    log = Log("debug", "json", lines.append)
    running = Retention(shelf, log, retain_us=30 * DAY_US, pause=pause, now_us=lambda: shelf.clock_us)
    running.start()
    for _ in range(PATIENCE + 2):
        await asyncio.wait_for(again.acquire(), 5)
    await running.stop()
    levels = [each["level"] for each in map(msgspec.json.decode, lines) if "error" in each]
    assert levels[: PATIENCE + 2] == ["debug"] * PATIENCE + ["warning", "debug"]


async def test_sums_stay_as_long_as_records() -> None:
    shelf = FakeShelf()
    await retention(shelf, 450, shelf.clock_us, [], []).keep()
    assert (len(shelf.days), shelf.hours[0]) == (101, (TODAY - 449) * 24)


async def test_a_clock_that_is_ahead_removes_nothing() -> None:
    for here, there in ((DAY_US * 40_000, 0), (0, DAY_US * 40_000)):
        shelf = FakeShelf()
        ours = shelf.clock_us + here
        shelf.clock_us += there
        await retention(shelf, 90, ours, [], []).keep()
        assert (shelf.days[0], shelf.made[0]) == (TODAY - 90, TODAY)


class OneClock:
    """That of the gateway and of its store; `running_us` goes on whatever it is set to."""

    def __init__(self, shelf: FakeShelf) -> None:
        self.shelf, self.running_us, self.lines = shelf, 50_000_000, list[bytes]()

    def process(self) -> Retention:
        log = Log("info", "json", self.lines.append)
        now_us, running_us = (lambda: self.shelf.clock_us), (lambda: self.running_us)
        return Retention(self.shelf, log, retain_us=90 * DAY_US, pause=no_pause, now_us=now_us, running_us=running_us)

    def today(self) -> int:
        return self.shelf.clock_us // DAY_US

    def set(self, days: int) -> None:
        self.shelf.clock_us += days * DAY_US

    def go_on(self, us: int) -> None:
        self.shelf.clock_us += us
        self.running_us += us

    def messages(self) -> list[str]:
        return [msgspec.json.decode(line)["message"] for line in self.lines]


async def no_pause(_seconds: float) -> None:
    return


DOUBT = "the clock is days ahead of what was recorded last: for 12 hours it removes as if it were three"


async def test_one_clock_here_and_there_that_is_ahead_removes_no_more_than_one_that_is_three_days_ahead() -> None:
    shelf = FakeShelf()
    clock = OneClock(shelf)
    last = shelf.hours[-1] // 24
    clock.set(4_000)
    running = clock.process()
    await running.keep()
    clock.go_on(HOUR_US)
    await running.keep()
    assert (shelf.days[0], shelf.hours[0]) == (last + 3 - 90, (last + 3 - 400) * 24)
    assert shelf.marks_before == [last + 3 - 401] * 2
    assert (clock.messages().count(DOUBT), shelf.made[0]) == (1, TODAY + 4_000)
    clock.set(-3_990)
    await running.keep()
    assert shelf.days[0] == last + 3 - 90
    shelf.hours.append(shelf.clock_us // HOUR_US)
    clock.set(2)
    await running.keep()
    assert (shelf.days[0], shelf.hours[0]) == (TODAY + 12 - 90, (TODAY + 12 - 399) * 24)


async def test_a_clock_that_goes_on_without_a_jump_is_believed_also_if_nobody_asks() -> None:
    shelf = FakeShelf()
    clock = OneClock(shelf)
    clock.set(60)
    running = clock.process()
    for _ in range(2):
        await running.keep()
        clock.go_on(STEADY_US - 1)
        await running.keep()
        assert shelf.days[0] == TODAY - 1 + 3 - 90
        clock.set(-1)
    await running.keep()
    clock.go_on(STEADY_US)
    await running.keep()
    assert shelf.days[0] == clock.today() - 90
    for _ in range(24):
        clock.go_on(HOUR_US)
        await running.keep()
    assert shelf.days[0] == clock.today() - 90
    left = len(shelf.days)
    clock.set(4_000)
    await running.keep()
    assert (len(shelf.days), clock.messages().count(DOUBT)) == (left, 2)


async def test_what_a_clock_that_is_ahead_has_recorded_itself_proves_it_after_a_day() -> None:
    shelf = FakeShelf()
    clock = OneClock(shelf)
    clock.set(40)
    shelf.hours.append(shelf.clock_us // HOUR_US)
    for _ in range(24):
        clock.go_on(HOUR_US)
        await clock.process().keep()
    assert shelf.days[0] == TODAY - 1 + 3 - 90
    clock.go_on(HOUR_US)
    await clock.process().keep()
    assert shelf.days[0] == TODAY + 41 - 90


async def test_a_clock_is_believed_at_once_after_a_weekend_and_where_there_is_nothing_to_lose() -> None:
    shelf = FakeShelf()
    clock = OneClock(shelf)
    clock.go_on(40 * HOUR_US)
    await clock.process().keep()
    assert shelf.days[0] == clock.today() - 90 > TODAY - 90
    shelf.hours = []
    clock.set(4)
    await clock.process().keep()
    assert shelf.days[0] == clock.today() - 90
    assert DOUBT not in clock.messages()


async def test_what_is_asked_once_a_week_and_does_not_live_for_long_keeps_records_for_a_week_longer_at_most() -> None:
    shelf = FakeShelf()
    clock = OneClock(shelf)
    for _ in range(30):
        clock.set(7)
        shelf.days.append(clock.today())
        shelf.hours.append(shelf.clock_us // HOUR_US)
        await clock.process().keep()
        assert shelf.days[0] >= clock.today() - 90 - 7


async def test_a_machine_that_sleeps_has_not_set_its_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, since_boot_us = FakeShelf(), 50_000_000
    monkeypatch.setattr(time, "clock_gettime_ns", lambda clock: {time.CLOCK_BOOTTIME: since_boot_us * 1000}[clock])
    shelf.clock_us += 60 * DAY_US
    running = Retention(
        shelf,
        Log("info", "json", list[bytes]().append),
        retain_us=90 * DAY_US,
        pause=no_pause,
        now_us=lambda: shelf.clock_us,
    )
    await running.keep()
    assert shelf.days[0] < TODAY
    for _ in range(4):
        shelf.clock_us += STEADY_US // 4
        since_boot_us += STEADY_US // 4
        await running.keep()
    assert shelf.days[0] == shelf.clock_us // DAY_US - 90


async def test_it_is_done_each_hour_and_again_soon_after_an_outage() -> None:
    shelf, pauses = FakeShelf(), list[float]()
    shelf.away = True
    running = retention(shelf, 90, shelf.clock_us, pauses, [])
    running.start()
    async with asyncio.timeout(5):
        while pauses.count(EVERY_S) < 2:  # noqa: ASYNC110 (a condition with a deadline)
            await asyncio.sleep(0)
    await running.stop()
    assert [pause for pause in pauses if pause != PAUSE_S][:2] == [AGAIN_S, EVERY_S]
