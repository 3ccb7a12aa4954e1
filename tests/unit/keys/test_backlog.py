"""What waits for the disk is handed on in order, whole, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from penstock.keys import backlog
from penstock.keys.backlog import Backlog
from penstock.keys.cache import Place
from penstock.keys.model import AdminToken
from penstock.keys.rows import Kept, KeptKey, KeptTeam
from penstock.limits.policy import Limits
from penstock.policy.key_table import Access, Secret
from tests.unit.conftest import until
from tests.unit.keys.scene import Lines


class Disk:
    """Takes pieces, once it is let."""

    def __init__(self) -> None:
        self.found: list[tuple[list[Kept], int, Place]] = []
        self.lets = asyncio.Event()
        self.lets.set()

    def write(self, rows: Sequence[Kept], since: int, place: Place) -> asyncio.Future[None]:
        self.found.append((list(rows), since, place))
        return asyncio.ensure_future(self._wait())

    async def _wait(self) -> None:
        await self.lets.wait()

    @property
    def versions(self) -> list[int]:
        return [place.version for _, _, place in self.found]


def at(version: int) -> Place:
    return Place("store", version, f"change{version}", 5)


def keys(count: int) -> list[KeptKey]:
    return [KeptKey(f"key{n:09}", n + 1, "active", secrets=(Secret(1, None, None),)) for n in range(count)]


async def stalled(count: int) -> tuple[Disk, Backlog]:
    """A disk that hangs, and so many pieces before it."""
    disk = Disk()
    disk.lets.clear()
    waiting = Backlog(disk.write, Lines())
    for version in range(1, count + 1):
        await waiting.put(keys(1), version - 1, at(version), complete=False)
    return disk, waiting


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "REST", 0.0)


async def test_nothing_is_written_until_the_load_is_complete() -> None:
    disk = Disk()
    waiting = Backlog(disk.write, Lines())
    await waiting.put(keys(3), 0, at(3), complete=False)
    await waiting.put(keys(2), 3, at(5), complete=False)
    await asyncio.sleep(0.02)
    assert (disk.found, waiting.is_empty) == ([], False)
    await waiting.put([], 5, at(6), complete=True)
    await until(lambda: waiting.is_empty)
    assert disk.found == [(keys(3), 0, at(3)), (keys(2), 3, at(5)), ([], 5, at(6))]


async def test_a_load_that_does_not_come_to_its_end_is_written_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "HOLD_S", 0.05)
    disk = Disk()
    waiting = Backlog(disk.write, Lines())
    await waiting.put(keys(3), 0, at(3), complete=False)
    await until(lambda: disk.versions == [3])


async def test_rows_of_every_kind_come_back_as_they_were() -> None:
    disk = Disk()
    waiting = Backlog(disk.write, Lines())
    limits = Limits(requests=("600/min", "9/day"), concurrent="none", queue="2s")
    access = Access(("fast",), None, ("10.0.0.0/8",))
    given: list[Kept] = [
        KeptKey(
            "key", 1, "active", "team", access, 2, 3, (Secret(1, 4, None),), limits, '{"new":1}', (("a", "b"),), False
        ),
        KeptTeam("team", 2, "a team", "disabled", access, limits, None, (("c", "d"),), False),
        AdminToken(id="t", name="ops", role="viewer", digest="cd" * 32, version=3),
    ]
    await waiting.put(given, 0, at(3), complete=True)
    await until(lambda: waiting.is_empty)
    assert disk.found[0][0] == given


async def test_where_much_waits_a_piece_waits_for_an_earlier_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "MOST_BYTES", 300)
    disk = Disk()
    disk.lets.clear()
    waiting = Backlog(disk.write, Lines())
    await waiting.put(keys(1), 0, at(1), complete=False)
    assert disk.found == []
    second = asyncio.ensure_future(waiting.put(keys(5), 1, at(2), complete=False))
    await until(lambda: disk.versions == [1])
    assert not second.done()
    disk.lets.set()
    await second
    assert disk.versions == [1, 2]  # alone it is too much too
    await waiting.put(keys(1), 2, at(3), complete=True)
    await until(lambda: waiting.is_empty)
    assert disk.versions == [1, 2, 3]


async def test_what_is_left_is_finished_at_once_and_each_piece_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "REST", 1e9)
    disk = Disk()
    waiting = Backlog(disk.write, Lines())
    for version in range(1, 6):
        await waiting.put(keys(1), version - 1, at(version), complete=version == 5)
    await until(lambda: disk.versions == [1])
    assert await waiting.finish()
    assert await waiting.finish()
    assert disk.versions == [1, 2, 3, 4, 5]
    waiting.close()


async def test_whoever_waits_for_a_disk_that_hangs_does_so_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "FINISH_S", 0.05)
    disk, waiting = await stalled(3)
    assert not await waiting.finish()
    assert disk.versions == [1]
    disk.lets.set()
    assert await waiting.finish()
    assert disk.versions == [1, 2, 3]
    waiting.close()


async def test_however_many_wait_one_piece_is_in_hand() -> None:
    disk, waiting = await stalled(5)
    finishing = [asyncio.ensure_future(waiting.finish()) for _ in range(10)]
    await asyncio.sleep(0.02)
    assert disk.versions == [1]
    disk.lets.set()
    assert await asyncio.gather(*finishing) == [True] * 10
    assert disk.versions == [1, 2, 3, 4, 5]
    waiting.close()


async def test_nobody_waits_for_what_came_after_him() -> None:
    disk, waiting = await stalled(1)
    finishing = [asyncio.ensure_future(waiting.finish()) for _ in range(3)]
    await until(lambda: disk.versions == [1])
    await waiting.put(keys(1), 1, at(2), complete=False)
    disk.lets.set()
    assert await asyncio.gather(*finishing) == [True] * 3
    assert disk.versions == [1]
    waiting.close()


async def test_one_who_gives_up_leaves_the_piece_in_hand_and_nobody_takes_another() -> None:
    disk, waiting = await stalled(3)
    for _ in range(3):
        given_up = asyncio.ensure_future(waiting.finish())
        await asyncio.sleep(0.01)
        given_up.cancel()
    assert disk.versions == [1]
    disk.lets.set()
    assert await waiting.finish()
    assert disk.versions == [1, 2, 3]
    waiting.close()


async def test_a_step_that_fails_is_told_and_fails_nobody() -> None:
    disk, log = Disk(), Lines()
    waiting = Backlog(disk.write, log)

    async def fails() -> None:
        raise ZeroDivisionError

    await waiting.put(keys(1), 0, at(1), complete=False)
    waiting.leave(lambda: fails())
    waiting.leave(lambda: 1 // 0)  # type: ignore[arg-type, return-value]
    await waiting.put(keys(1), 1, at(2), complete=False)
    assert await waiting.finish()
    assert disk.versions == [1, 2]
    assert log.texts("error").count("ZeroDivisionError") == 2
    waiting.close()


async def test_steps_come_between_what_was_put_before_and_after_them() -> None:
    disk = Disk()
    waiting = Backlog(disk.write, Lines())
    seen: list[tuple[str, list[int]]] = []

    async def note(name: str) -> None:
        await asyncio.sleep(0)
        seen.append((name, disk.versions))

    waiting.leave(lambda: seen.append(("at once", disk.versions)))
    await waiting.take(lambda: note("at once too"))
    assert seen == [("at once", []), ("at once too", [])]
    await waiting.put(keys(1), 0, at(1), complete=False)
    waiting.leave(lambda: seen.append(("left", disk.versions)))
    taken = asyncio.ensure_future(waiting.take(lambda: note("taken")))
    await asyncio.sleep(0)
    await waiting.put(keys(1), 1, at(2), complete=False)
    await taken
    assert seen[2:] == [("left", [1]), ("taken", [1])]
    assert disk.versions == [1]
    waiting.close()


async def test_a_row_that_cannot_be_read_back_is_told_and_holds_up_nothing() -> None:
    disk, log, seen = Disk(), Lines(), list[str]()
    waiting = Backlog(disk.write, log)
    later: Any = AdminToken(id="t", name="ops", role="later", digest="cd" * 32, version=1)  # type: ignore[arg-type]
    await waiting.put([later], 0, at(1), complete=False)
    waiting.leave(lambda: seen.append("step"))
    await waiting.put(keys(1), 1, at(2), complete=True)
    await until(lambda: waiting.is_empty)
    assert (disk.versions, seen) == ([2], ["step"])
    assert "keys are missing in data_dir" in log.texts("error")


async def test_what_is_dropped_is_not_written_and_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(backlog, "MOST_BYTES", 800)
    disk = Disk()
    waiting = Backlog(disk.write, Lines())
    await waiting.put(keys(3), 0, at(3), complete=True)
    waiting.leave(lambda: seen.append("of what was dropped"))
    waiting.drop()
    await waiting.put(keys(3), 0, at(2), complete=False)
    await asyncio.sleep(0.02)
    assert disk.found == []
    await waiting.put(keys(1), 2, at(4), complete=True)
    await until(lambda: waiting.is_empty)
    assert disk.versions == [2, 4]
    assert seen == []
