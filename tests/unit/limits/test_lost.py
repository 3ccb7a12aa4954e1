"""A data_dir without any count: what the store knows is told once, and the mark says until when that is to be done."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from penstock.limits import lost
from penstock.limits.lost import MARK, Lost, mark_if_lost
from penstock.observe.logs import Log
from penstock.store.interface import StoreAwayError
from tests.unit.fake_engine import FakeNative

OWN = "20260101T000000-0000000a"
USED = [("key", "k", 5, 1, 2, 3)]


def journal(data_dir: Path, instance: str) -> None:
    (data_dir / "journal" / instance).mkdir(parents=True)


def test_a_data_dir_without_counts_and_journals_of_others_is_marked_until_it_is_complete(tmp_path: Path) -> None:
    journal(tmp_path, OWN)
    assert mark_if_lost(str(tmp_path), OWN)
    (tmp_path / "limits").touch()
    assert mark_if_lost(str(tmp_path), OWN), "it was not told"
    (tmp_path / MARK).unlink()
    assert not mark_if_lost(str(tmp_path), OWN)


def test_a_data_dir_with_a_journal_is_completed_from_that(tmp_path: Path) -> None:
    journal(tmp_path, OWN)
    journal(tmp_path, "20260101T000000-0000000b")
    assert not mark_if_lost(str(tmp_path), OWN)
    assert not (tmp_path / MARK).exists()


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
    assert mark_if_lost(str(tmp_path), OWN)
    each = Lost(
        gather,
        str(tmp_path),
        engine,
        Log(write=lambda _: None),
        is_ready=lambda: next(ready, True),
        degraded=said.append,
    )
    task = asyncio.ensure_future(each.complete())
    async with asyncio.timeout(5):
        while not engine.earlier:  # noqa: ASYNC110 (native tells nobody)
            await asyncio.sleep(0.001)
    assert engine.earlier == [list(USED[0])]
    assert said[0] == [lost.REASON]
    assert said[-1] == []
    await asyncio.sleep(0.01)
    assert (tmp_path / MARK).exists(), "it may not be on disk yet"
    assert not task.done(), "nothing is shipped meanwhile"
    each.stop()
    async with asyncio.timeout(1):
        await task
    assert not (tmp_path / MARK).exists(), "native has written its last word"


async def test_with_nothing_to_tell_nothing_is_waited_for(tmp_path: Path) -> None:
    async def gather() -> list[tuple[str, str, int, int, int, int]]:
        return []

    assert mark_if_lost(str(tmp_path), OWN)
    engine = FakeNative(b"{}")
    each = Lost(
        gather, str(tmp_path), engine, Log(write=lambda _: None), is_ready=lambda: True, degraded=lambda _: None
    )
    async with asyncio.timeout(1):
        await each.complete()
    assert (engine.earlier, (tmp_path / MARK).exists()) == ([], False)


async def test_what_was_not_told_stays_to_be_done(tmp_path: Path) -> None:
    async def gather() -> list[tuple[str, str, int, int, int, int]]:
        raise StoreAwayError("away")

    assert mark_if_lost(str(tmp_path), OWN)
    engine = FakeNative(b"{}")
    each = Lost(
        gather, str(tmp_path), engine, Log(write=lambda _: None), is_ready=lambda: True, degraded=lambda _: None
    )
    task = asyncio.ensure_future(each.complete())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    each.stop()
    assert (tmp_path / MARK).exists()
    assert engine.earlier == []
