"""A data_dir without any count: what the store knows is told once, and the mark says until when that is to be done."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import os
import weakref
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.limits import lost
from penstock.limits.lost import MARK, Lost, forget_mark, is_incomplete
from penstock.observe.logs import Log
from penstock.store.interface import StoreAwayError
from tests.unit.fake_engine import FakeNative

OWN, OTHER = "20260101T000000-0000000a", "20260101T000000-0000000b"
USED = [("key", "k", 5, 1, 2, 3)]
Entry = tuple[int, int, int, int, bytes, bytes | None]


class Reader:
    """Of a journal in which this stands."""

    def __init__(self, *entries: Entry) -> None:
        self._entries = list(entries)

    def read(self, segment: int, offset: int, most_bytes: int, live: bool) -> tuple[list[Entry], int, int, bool]:
        return self._entries, segment, offset, True


@contextlib.contextmanager
def alive(data_dir: Path, instance: str) -> Iterator[None]:
    """A process with this name."""
    (data_dir / "journal" / instance).mkdir(parents=True)
    with (data_dir / "journal" / instance / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def lacks(data_dir: Path, own: str = OWN, *entries: Entry) -> bool:
    return is_incomplete(str(data_dir), own, lambda _: Reader(*entries))


def make(
    data_dir: Path,
    gather: Callable[[], Awaitable[list[Any]]],
    said: list[str] | None = None,
    degraded: Callable[[list[str]], None] = lambda _: None,
) -> tuple[Lost, Any]:
    engine = FakeNative(b"{}")
    log = Log(write=lambda line: None if said is None else said.append(line.decode()))
    each = Lost(gather, str(data_dir), OWN, engine, log, is_ready=lambda: True, degraded=degraded)
    return each, engine


async def used() -> list[Any]:
    return USED


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost, "LOOK_S", 0.001)


def test_a_data_dir_without_counts_is_marked_until_it_is_complete(tmp_path: Path) -> None:
    with alive(tmp_path, OWN):
        assert lacks(tmp_path)
        assert (tmp_path / MARK).exists()
        (tmp_path / "limits").touch()
        assert lacks(tmp_path), "it was not told"
        assert lacks(tmp_path, OTHER), "nor is that for one that begins beside it"
        forget_mark(str(tmp_path))
        assert not lacks(tmp_path)


def test_a_data_dir_with_a_journal_in_which_anything_stands_is_completed_from_that(tmp_path: Path) -> None:
    with alive(tmp_path, OWN), alive(tmp_path, OTHER):
        assert not lacks(tmp_path, OWN, (1, 1, 1, 0, b"", None))
        assert not (tmp_path / MARK).exists()


def test_a_mark_that_is_there_is_not_made_anew_where_its_owner_removes_it_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lacks(tmp_path)
    (tmp_path / "limits").touch()
    exists = os.path.exists

    def then_removed(path: str) -> bool:
        was_there = exists(path)
        forget_mark(str(tmp_path))
        return was_there

    monkeypatch.setattr("os.path.exists", then_removed)
    lacks(tmp_path, OTHER)
    assert not (tmp_path / MARK).exists(), "nobody would remove it"


def test_of_two_that_find_no_counts_one_makes_the_mark(tmp_path: Path) -> None:
    def other_begins(_: str) -> Reader:
        lacks(tmp_path)
        return Reader()

    with alive(tmp_path, OWN), alive(tmp_path, OTHER):
        assert is_incomplete(str(tmp_path), OTHER, other_begins)
    assert (tmp_path / MARK).read_text() == OWN


def test_counts_of_another_process_that_is_not_complete_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_begins(*_: object) -> bool:
        (tmp_path / MARK).touch()
        return True

    monkeypatch.setattr(lost, "_has_counts", other_begins)
    assert lacks(tmp_path), "it has written what it used itself, and is not told yet"


async def test_native_is_told_once_the_store_answers_and_the_keys_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost, "FIRST_S", 0.001)
    monkeypatch.setattr(lost, "DEGRADED_S", 0.0)
    engine, said, tries = FakeNative(b"{}"), list[list[str]](), list[int]()

    async def gather() -> list[tuple[str, str, int, int, int, int]]:
        tries.append(1)
        if len(tries) < 3:
            raise StoreAwayError("away")
        return USED

    ready = iter([False, False])
    assert lacks(tmp_path)
    each = Lost(
        gather,
        str(tmp_path),
        OWN,
        engine,
        Log(write=lambda _: None),
        is_ready=lambda: next(ready, True),
        degraded=said.append,
    )
    task = asyncio.ensure_future(each.complete())
    await until(lambda: said[-1:] == [[lost.UNWRITTEN]])
    assert engine.earlier == [list(USED[0])]
    assert said == [[lost.UNKNOWN], [], [lost.UNWRITTEN]]
    assert (tmp_path / MARK).exists(), "it is not on disk yet"
    assert not task.done(), "nothing is shipped meanwhile"
    engine.keeps = True
    async with asyncio.timeout(5):
        assert await task
    assert not (tmp_path / MARK).exists()
    assert said[-1] == []


@pytest.mark.parametrize("is_kept", [True, False])
async def test_at_the_end_it_counts_whether_native_has_written_it(tmp_path: Path, is_kept: bool) -> None:
    assert lacks(tmp_path)
    each, engine = make(tmp_path, used)
    task = asyncio.ensure_future(each.complete())
    await until(lambda: engine.earlier)
    await each.settle()
    engine.keeps = is_kept
    each.stop()
    async with asyncio.timeout(5):
        assert await task is is_kept, "what is not written is told by the next one, and nothing is shipped"
    assert (tmp_path / MARK).exists() is not is_kept


async def test_what_a_process_before_this_one_was_told_and_wrote_is_not_told_again(tmp_path: Path) -> None:
    async def gather() -> list[Any]:
        raise AssertionError("nobody asks")

    assert lacks(tmp_path)
    each, engine = make(tmp_path, gather)
    engine.keeps = True
    async with asyncio.timeout(5):
        assert await each.complete()
    assert (engine.earlier, (tmp_path / MARK).exists()) == ([], False)


async def test_with_nothing_to_tell_native_notes_that_it_was_told_and_nothing_is_waited_for(tmp_path: Path) -> None:
    async def gather() -> list[Any]:
        return []

    assert lacks(tmp_path)
    each, engine = make(tmp_path, gather)
    async with asyncio.timeout(1):
        assert await each.complete()
    assert (engine.earlier, engine.is_told, (tmp_path / MARK).exists()) == ([], True, False)


@pytest.mark.parametrize("is_begun", [True, False])
async def test_what_was_not_told_before_native_stops_stays_to_be_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_begun: bool
) -> None:
    monkeypatch.setattr(lost, "LAST_S", 0.01)
    answers = asyncio.Event()

    async def gather() -> list[Any]:
        await answers.wait()
        return USED

    assert lacks(tmp_path)
    (tmp_path / "limits").touch()
    each, engine = make(tmp_path, gather)
    task = asyncio.ensure_future(each.complete()) if is_begun else None
    await each.settle()
    answers.set()
    each.stop()
    assert not await (task or each.complete()), "nor is anything shipped: the next one has it from the journal"
    assert engine.earlier == []
    assert (tmp_path / MARK).exists()
    assert (tmp_path / "limits").exists()


async def test_the_end_waits_a_moment_for_native_to_be_told(tmp_path: Path) -> None:
    async def gather() -> list[Any]:
        await asyncio.sleep(0.05)
        return USED

    assert lacks(tmp_path)
    each, engine = make(tmp_path, gather)
    task = asyncio.ensure_future(each.complete())
    await each.settle()
    assert engine.earlier == [list(USED[0])]
    engine.keeps = True
    each.stop()
    assert await task
    assert not (tmp_path / MARK).exists()


async def test_a_store_that_only_refuses_to_add_up_holds_nothing_up_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"FIRST_S": 0.001, "LONGEST_S": 0.001, "GIVE_UP_S": 0.01}.items():
        monkeypatch.setattr(lost, name, value)
    tries = []

    async def gather() -> list[Any]:
        tries.append(1)
        raise StoreAwayError("it took too long")

    assert lacks(tmp_path)
    said: list[str] = []
    each, engine = make(tmp_path, gather, said)
    async with asyncio.timeout(5):
        assert await each.complete(), "what is shipped from now on is known"
    assert len(tries) >= lost.FAILURES
    assert (engine.earlier, engine.is_told, (tmp_path / MARK).exists()) == ([], True, False)
    assert sum("does not tell" in line for line in said) == 1
    assert sum("begin anew" in line for line in said) == 1


async def test_whose_native_does_not_have_the_file_ships_nothing_before_another_has_done_it(tmp_path: Path) -> None:
    async def gather() -> list[Any]:
        raise AssertionError("the other asks")

    assert lacks(tmp_path)
    each, engine = make(tmp_path, gather)
    engine.keeps = None
    task = asyncio.ensure_future(each.complete())
    await asyncio.sleep(0.05)
    assert not task.done()
    forget_mark(str(tmp_path))
    async with asyncio.timeout(5):
        assert await task
    assert engine.earlier == []


@pytest.mark.parametrize("is_told", [True, False])
async def test_once_the_other_is_gone_it_is_done_here_if_that_one_had_not(tmp_path: Path, is_told: bool) -> None:
    assert lacks(tmp_path)
    each, engine = make(tmp_path, used)
    engine.keeps = None
    task = asyncio.ensure_future(each.complete())
    await asyncio.sleep(0.05)
    assert engine.earlier == []
    engine.keeps = is_told
    if not is_told:
        await until(lambda: engine.earlier)
        engine.keeps = True
    async with asyncio.timeout(5):
        assert await task
    assert engine.earlier == ([] if is_told else [list(USED[0])])
    assert not (tmp_path / MARK).exists()


async def test_who_waits_for_another_ends_without_shipping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost, "LAST_S", 0.01)
    assert lacks(tmp_path)
    each, engine = make(tmp_path, used)
    engine.keeps = None
    task = asyncio.ensure_future(each.complete())
    await each.settle()
    each.stop()
    async with asyncio.timeout(5):
        assert not await task
    assert (engine.earlier, (tmp_path / MARK).exists()) == ([], True)


async def test_nothing_is_shipped_before_the_mark_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost, "DEGRADED_S", 0.0)
    (tmp_path / MARK).mkdir()  # what cannot be removed
    said: list[str] = []
    reasons: list[list[str]] = []
    each, engine = make(tmp_path, used, said, reasons.append)
    engine.keeps = True
    task = asyncio.ensure_future(each.complete())
    await until(lambda: reasons[-1:] == [[lost.UNREMOVED]])
    assert not task.done()
    assert sum(lost.UNREMOVED in line for line in said) == 1
    (tmp_path / MARK).rmdir()
    async with asyncio.timeout(5):
        assert await task
    assert reasons[-1] == []


async def test_a_mark_that_cannot_be_removed_is_left_to_the_next_process(tmp_path: Path) -> None:
    (tmp_path / MARK).mkdir()
    each, engine = make(tmp_path, used)
    engine.keeps = True
    task = asyncio.ensure_future(each.complete())
    await each.settle()
    each.stop()
    async with asyncio.timeout(5):
        assert not await task, "nothing is shipped"


async def test_who_was_told_waits_for_its_own_file_though_the_mark_is_gone(tmp_path: Path) -> None:
    assert lacks(tmp_path)
    each, engine = make(tmp_path, used)
    task = asyncio.ensure_future(each.complete())
    await until(lambda: engine.earlier)
    forget_mark(str(tmp_path))
    await asyncio.sleep(0.05)
    assert not task.done()
    engine.keeps = True
    async with asyncio.timeout(5):
        assert await task


async def test_the_mark_names_who_asks(tmp_path: Path) -> None:
    assert lacks(tmp_path, OTHER)
    assert (tmp_path / MARK).read_text() == OTHER, "who made it"
    each, engine = make(tmp_path, used)
    engine.keeps = None
    task = asyncio.ensure_future(each.complete())
    await asyncio.sleep(0.05)
    assert (tmp_path / MARK).read_text() == OTHER, "which has the file of counts, perhaps"
    engine.keeps = False
    await until(lambda: engine.earlier)
    assert (tmp_path / MARK).read_text() == OWN
    engine.keeps = True
    async with asyncio.timeout(5):
        assert await task


async def test_what_the_store_has_answered_is_not_kept_once_native_knows_it(tmp_path: Path) -> None:
    class Gathered:
        async def used(self) -> list[Any]:
            return USED

    assert lacks(tmp_path)
    gathered = Gathered()
    kept = weakref.ref(gathered)
    each, engine = make(tmp_path, gathered.used)
    del gathered
    task = asyncio.ensure_future(each.complete())
    await until(lambda: engine.earlier)
    gc.collect()
    assert kept() is None
    engine.keeps = True
    async with asyncio.timeout(5):
        assert await task


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110 (native tells nobody)
            await asyncio.sleep(0.001)
