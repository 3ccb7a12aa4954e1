"""The task that ships: in order, once, whatever the store does; and what it says meanwhile."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from penstock.audit.record import BEGIN, END, RECORD
from penstock.audit.shipper import REASON, Pace, Shipper
from penstock.audit.unshipped import ALL
from penstock.engine import Rows
from penstock.instance import day_of
from penstock.observe.logs import Log
from penstock.store.interface import StoreAwayError, StoreError, StoreRefusedError
from penstock.store.records import Watermark
from penstock.times import DAY_US
from tests.unit.fake_rows import FakeJournals, FakeRows

OWN = "20261126T010203-00000000"
NOW_US = 20_783 * DAY_US + 1_000
FAST = Pace(batch=0.005, most_bytes=64, least_bytes=4, scan=0.01, first=0.001, longest=0.004, degraded=0.02, last=0.5)


class FakeTaker:
    """A store in memory that goes away, or falls silent behind a commit, when a test wants it to."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int, int, int]] = []
        self.marks: dict[str, Watermark] = {}
        self.interrupted: dict[str, list[int]] = {}
        self.away = False
        self.doubtful = 0
        """So many commits more are made and not told of."""
        self.before_ship: Callable[[], None] = lambda: None
        self.refused: dict[str, StoreError] = {}
        """What is said to batches of some instances, and how long that takes."""
        self.refused_s = 0.0
        self.tries: list[str] = []
        self.asked = 0

    async def watermarks(self, instances: list[str]) -> dict[str, Watermark]:
        self.asked += 1
        if self.away:
            raise StoreAwayError("away")
        return {name: self.marks[name] for name in instances if name in self.marks}

    async def ship(
        self,
        rows: Rows | None,
        before: Watermark | None,
        after: Watermark,
        *,
        days: list[int],
        interrupted: list[int],
    ) -> bool:
        self.tries.append(after.instance)
        self.before_ship()
        if after.instance in self.refused:
            await asyncio.sleep(self.refused_s)
            raise self.refused[after.instance]
        if self.away:
            raise StoreAwayError("away")
        if self.marks.get(after.instance) != before:
            return False
        self.marks[after.instance] = after
        if rows is not None:
            assert isinstance(rows, FakeRows)
            self.rows += [(after.instance, *entry) for entry in rows.entries]
        self.interrupted[after.instance] = interrupted
        if self.doubtful:
            self.doubtful -= 1
            raise StoreAwayError("silent", in_doubt=True)
        return True

    def numbers(self, instance: str = OWN) -> list[int]:
        return [number for name, _, _, number in self.rows if name == instance]


class Scene:
    """A shipper, its journals, its store and what it told."""

    def __init__(self, folder: Path, pace: Pace = FAST, now_us: int = NOW_US) -> None:
        self.journals, self.taker = FakeJournals(folder), FakeTaker()
        self.told: dict[str, int] = {}
        self.state = (0, 0, 0)
        self.degraded: list[list[str]] = []
        self.lines: list[bytes] = []
        self.tidied = 0
        self.shipper = Shipper(
            self.taker, str(folder), OWN, self, Log("debug", "json", self.lines.append), retain_us=90 * DAY_US,
            degraded=self.degraded.append, tidy=self._tidy, pace=pace, open_rows=self.journals.open,
            now_us=lambda: now_us,
        )  # fmt: skip

    def _tidy(self) -> None:
        self.tidied += 1

    def journal_shipped(self, segments: list[tuple[str, int]]) -> None:
        self.told |= dict(segments)

    def shipping(self, records: int, failures: int, oldest_us: int) -> None:
        self.state = (records, failures, oldest_us)

    def records(self, first: int, last: int, instance: str = OWN) -> None:
        for number in range(first, last + 1):
            self.journals.put(instance, RECORD, number)

    def messages(self) -> list[str]:
        return [msgspec.json.decode(line)["message"] for line in self.lines]

    async def until(self, condition: Callable[[], object], what: str) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 (a condition with a deadline)
                await asyncio.sleep(0.001)
        assert condition(), what


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


async def test_records_are_shipped_in_order_as_they_come(scene: Scene) -> None:
    scene.records(1, 250)
    scene.shipper.start()
    await scene.until(lambda: len(scene.taker.rows) == 250, "all there were")
    scene.records(251, 260)
    await scene.until(lambda: len(scene.taker.rows) == 260, "those that came later")
    await scene.until(lambda: scene.state == (260, 0, 0), "nothing is left")
    assert scene.taker.numbers() == list(range(1, 261))
    assert scene.told == {OWN: 3}
    await scene.shipper.stop()
    assert {days for _, _, _, days in scene.journals.asked} == {(20_783, 20_784)}
    assert all(live for _, _, live, _ in scene.journals.asked)


async def test_the_last_records_are_shipped_at_the_end(scene: Scene) -> None:
    scene.shipper.start()
    scene.journals.put(OWN, BEGIN, 7)
    scene.records(1, 3)
    scene.journals.put(OWN, END, 0)
    await scene.shipper.stop()
    assert scene.taker.numbers() == [7, 1, 2, 3, 0]
    mark = scene.taker.marks[OWN]
    assert (mark.ended, mark.begun, scene.taker.interrupted[OWN], scene.told) == (True, b"", [1], {OWN: ALL})


async def test_an_outage_is_waited_out_and_said_once(scene: Scene) -> None:
    scene.taker.away = True
    scene.records(1, 200)
    scene.shipper.start()
    await scene.until(lambda: [REASON] in scene.degraded, "readiness says it")
    records, failures, oldest_us = scene.state
    assert (records, failures > 3, oldest_us) == (0, True, 1_000_000)
    scene.taker.away = False
    await scene.until(lambda: len(scene.taker.rows) == 200, "all is shipped")
    await scene.shipper.stop()
    assert scene.taker.numbers() == list(range(1, 201))
    assert scene.degraded[-1] == []
    assert [line for line in scene.messages() if "records" in line] == [
        "records wait in the journal: the store does not take them now",
        "records are shipped again",
    ]


async def test_a_store_that_does_not_answer_in_time_gets_less_at_a_time(scene: Scene) -> None:
    scene.taker.away = True
    scene.records(1, 200)
    scene.shipper.start()
    await scene.until(lambda: scene.state[1] > 8, "it failed some times")
    scene.taker.away = False
    await scene.until(lambda: len(scene.taker.rows) == 200, "all is shipped")
    await scene.shipper.stop()
    sizes = [size for _, size, _, _ in scene.journals.asked]
    assert sizes[0] == 64
    assert min(sizes) == 4
    assert sizes[-1] > 4


async def test_a_commit_in_doubt_doubles_nothing_and_is_counted_once(scene: Scene) -> None:
    scene.taker.doubtful = 2
    scene.records(1, 100)
    scene.shipper.start()
    await scene.until(lambda: len(scene.taker.rows) >= 100 and scene.state[2] == 0, "all is shipped")
    await scene.shipper.stop()
    assert scene.taker.numbers() == list(range(1, 101))
    assert scene.state == (100, 2, 0)


async def test_a_journal_that_somebody_else_ships_goes_on_from_there(scene: Scene) -> None:
    scene.records(1, 100)

    def other() -> None:
        scene.taker.before_ship = lambda: None
        scene.taker.marks[OWN] = Watermark(
            instance=OWN, segment=1, offset=50, sequence=50, hash=b"x", day=1, begun=b""
        )  # fmt: skip

    scene.taker.before_ship = other
    scene.shipper.start()
    await scene.until(lambda: len(scene.taker.rows) == 50, "the rest")
    await scene.shipper.stop()
    assert scene.taker.numbers() == list(range(51, 101))


async def test_journals_of_processes_that_are_gone_are_shipped_to_their_end(scene: Scene) -> None:
    scene.journals.put("20261120T000000-aaaaaaaa", BEGIN, 900)
    scene.records(1, 150, "20261120T000000-aaaaaaaa")
    scene.records(1, 3, "20260101T000000-bbbbbbbb")
    scene.records(1, 9, "alive")
    lock = os.open(scene.journals.data_dir / "journal/alive/lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    scene.shipper.start()
    await scene.until(lambda: list(scene.told.values()) == [ALL] * 2, "both are told of")
    os.close(lock)
    await scene.until(lambda: list(scene.told.values()) == [ALL] * 3, "the third is dead by now")
    await scene.shipper.stop()
    assert scene.told == dict.fromkeys(("20261120T000000-aaaaaaaa", "20260101T000000-bbbbbbbb", "alive"), ALL)
    assert scene.taker.interrupted["20261120T000000-aaaaaaaa"] == [1]
    assert all(mark.ended for mark in scene.taker.marks.values())
    first = {instance: days[0] for instance, _, _, days in reversed(scene.journals.asked)}
    assert first == {
        OWN: 20_783,
        "20261120T000000-aaaaaaaa": 20_777,
        "20260101T000000-bbbbbbbb": 20_693,  # the oldest day that is kept
        "alive": 20_693,
    }
    assert scene.tidied > 0


async def test_what_a_process_left_has_days_of_its_own_clock_though_the_one_here_is_behind(tmp_path: Path) -> None:
    scene = Scene(tmp_path, now_us=DAY_US)
    young, old = "20261120T000000-aaaaaaaa", "20260101T000000-bbbbbbbb"
    for instance in (young, old, OWN):
        scene.records(1, 3, instance)
    segment = scene.journals.data_dir / "journal" / old / "0000000001.segment"
    segment.touch()
    os.utime(segment, (0, 20_770 * 86_400))
    scene.shipper.start()
    await scene.until(lambda: len(scene.taker.rows) == 9, "all are shipped")
    await scene.shipper.stop()
    days = {instance: days for instance, _, _, days in reversed(scene.journals.asked)}
    assert days == {young: (20_777, 20_778), old: (day_of(old), 20_771), OWN: (2, 2)}


async def test_a_journal_that_native_looks_through_at_the_start_is_shipped_soon_after(tmp_path: Path) -> None:
    scene = Scene(tmp_path, msgspec.structs.replace(FAST, scan=3_600.0))
    scene.records(1, 9, "dead")
    scene.records(1, 1)
    lock = os.open(scene.journals.data_dir / "journal/dead/lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    scene.shipper.start()
    await scene.until(lambda: scene.taker.numbers() == [1], "the first look is over")
    assert "dead" not in scene.told
    os.close(lock)
    await scene.until(lambda: scene.told.get("dead") == ALL, "it is found")
    await scene.shipper.stop()


@pytest.mark.parametrize("noticed", ["by a watermark", "by silence", "in time"])
async def test_what_the_store_has_lost_is_shipped_again_also_of_journals_it_once_had_all_of(
    tmp_path: Path, noticed: str
) -> None:
    pace = msgspec.structs.replace(FAST, ask=0.05 if noticed == "in time" else 60.0)
    scene = Scene(tmp_path, pace)
    gone = "20261120T000000-aaaaaaaa"
    scene.records(1, 50, gone)
    scene.records(1, 20)
    scene.shipper.start()
    await scene.until(lambda: scene.told.get(gone) == ALL and len(scene.taker.rows) == 70, "all is there")
    scene.taker.rows.clear()
    kept = {} if noticed == "by a watermark" else {OWN: scene.taker.marks[OWN]}
    scene.taker.marks = kept  # the store is put back from a copy of before
    if noticed == "by silence":
        scene.taker.away = True
    if noticed != "in time":
        scene.records(21, 30)
    if noticed == "by silence":
        await scene.until(lambda: scene.state[1] > 0, "it failed")
        scene.taker.away = False
    await scene.until(lambda: gone in scene.taker.marks, "it is shipped again")
    await scene.until(lambda: scene.told.get(gone) == ALL, "native may remove it now")
    await scene.shipper.stop()
    assert scene.taker.numbers(gone) == list(range(1, 51))
    own = {"by a watermark": range(1, 31), "by silence": range(21, 31), "in time": range(0)}
    assert scene.taker.numbers() == list(own[noticed])


async def test_one_journal_that_cannot_be_read_holds_up_no_other(scene: Scene) -> None:
    scene.records(1, 5, "broken")
    scene.records(1, 5, "whole")
    scene.records(1, 5)
    scene.journals.fails = {"broken"}
    scene.shipper.start()
    told = "a journal cannot be read: its records stay there"
    await scene.until(lambda: len(scene.taker.rows) == 10 and told in scene.messages(), "the others")
    scene.journals.fails = set()
    await scene.until(lambda: len(scene.taker.rows) == 15, "this one too, once it can be read")
    await scene.shipper.stop()
    assert scene.state[1] == 0


async def test_that_the_journal_of_this_process_cannot_be_read_holds_up_no_other(scene: Scene) -> None:
    scene.records(1, 5, "gone")
    scene.records(1, 5)
    scene.journals.fails = {OWN}
    scene.shipper.start()
    await scene.until(lambda: len(scene.taker.rows) == 5 and scene.state[1] > 0, "the other")
    scene.journals.fails = set()
    await scene.until(lambda: len(scene.taker.rows) == 10, "its own, once it can be read")
    await scene.shipper.stop()


@pytest.mark.parametrize("error", [StoreRefusedError("a value that no column takes"), StoreAwayError("too slow")])
@pytest.mark.parametrize("refused", ["dead", OWN])
async def test_a_journal_that_the_store_refuses_holds_up_no_other(
    tmp_path: Path, refused: str, error: StoreError
) -> None:
    scene = Scene(tmp_path, msgspec.structs.replace(FAST, most_bytes=16, first=0.3, longest=0.3))
    other = OWN if refused == "dead" else "dead"
    scene.taker.refused = {refused: error}
    scene.records(1, 400, "dead")
    scene.records(1, 400)
    scene.shipper.start()
    await scene.until(lambda: len(scene.taker.numbers(other)) == 400, "all of the other")
    assert scene.taker.tries.count(refused) < 10, "it is put off"
    sizes = [size for instance, size, _, _ in scene.journals.asked if instance == other]
    assert set(sizes) == {16}, "the other gets as much at a time as before"
    await scene.until(lambda: [REASON] in scene.degraded, "readiness says it")
    assert scene.messages() == ["records wait in the journal: the store does not take them now"]
    assert [] not in scene.degraded
    scene.taker.refused = {}
    await scene.until(lambda: len(scene.taker.rows) == 800, "all is shipped")
    await scene.until(lambda: scene.degraded[-1] == [], "readiness says so")
    await scene.shipper.stop()
    assert scene.messages()[1:] == ["records are shipped again"]
    assert scene.taker.numbers(refused) == list(range(1, 401))


async def test_journals_that_are_refused_slowly_take_half_of_the_time_at_most(tmp_path: Path) -> None:
    scene = Scene(tmp_path, msgspec.structs.replace(FAST, most_bytes=16))
    names = [f"dead{number}" for number in range(5)]
    scene.taker.refused = {name: StoreAwayError("too slow") for name in names}
    scene.taker.refused_s = 0.05
    for name in [*names, OWN]:
        scene.records(1, 400, name)
    scene.shipper.start()
    await scene.until(lambda: len(scene.taker.numbers()) == 400, "all of its own")
    assert len([name for name in scene.taker.tries if name in names]) <= 3
    await scene.until(lambda: set(names) <= set(scene.taker.tries), "each is tried")
    scene.taker.refused = {}
    await scene.until(lambda: len(scene.taker.rows) == 2_400, "all is shipped")
    await scene.shipper.stop()


async def test_of_a_store_that_is_away_all_journals_try_together_and_ever_more_seldom(tmp_path: Path) -> None:
    scene = Scene(tmp_path, msgspec.structs.replace(FAST, first=0.01, longest=0.1))
    scene.taker.away = True
    for number in range(20):
        scene.records(1, 5, f"dead{number}")
    scene.records(1, 5)
    scene.shipper.start()
    await scene.until(lambda: scene.state[1] > 2, "it failed some times")
    asked, tries = scene.taker.asked, len(scene.taker.tries)
    await asyncio.sleep(0.5)
    assert 2 <= scene.taker.asked - asked <= 0.5 / 0.05 + 5
    assert len(scene.taker.tries) == tries, "nothing is read while nobody knows how far the store is"
    scene.taker.away = False
    await scene.until(lambda: len(scene.taker.rows) == 105, "all is shipped")
    await scene.shipper.stop()


async def test_what_this_process_recorded_is_tried_once_more_at_its_end_though_it_was_put_off(tmp_path: Path) -> None:
    scene = Scene(tmp_path, msgspec.structs.replace(FAST, first=60.0, longest=60.0))
    scene.taker.refused = {OWN: StoreRefusedError("not now")}
    scene.records(1, 100)
    scene.records(1, 5, "dead")
    scene.shipper.start()
    await scene.until(lambda: scene.state[1] == 1 and scene.told.get("dead") == ALL, "it was refused")
    scene.taker.refused = {}
    await scene.shipper.stop()
    assert scene.taker.numbers() == list(range(1, 101))


async def test_the_end_of_the_process_does_not_wait_for_a_store_that_is_away(scene: Scene) -> None:
    scene.taker.away = True
    scene.records(1, 5)
    scene.shipper.start()
    await scene.until(lambda: scene.state[1] > 0, "it failed")
    async with asyncio.timeout(FAST.last / 2):
        await scene.shipper.stop()


async def test_what_goes_wrong_here_does_not_end_the_task(scene: Scene) -> None:
    def broken() -> None:
        scene.taker.before_ship = lambda: None
        raise RuntimeError("a fault of ours")

    scene.taker.before_ship = broken
    scene.records(1, 5)
    scene.shipper.start()
    await scene.until(lambda: len(scene.taker.rows) == 5, "all is shipped")
    await scene.shipper.stop()
    assert any(b"a fault of ours" in line for line in scene.lines)


def test_the_name_of_a_process_tells_its_first_day() -> None:
    assert [day_of(name) for name in ("19700103T235959-x", OWN, "20261399T000000-x", "one")] == [2, 20_783, 0, 0]
