"""A file of SQLite that is watched: whoever writes to it is noticed, and nobody else is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.store.open import FILE, make_store
from penstock.store.sql import SqlStore
from penstock.store.sqlite_watch import FileWatch
from tests.support.bell import Bell
from tests.support.store_rules.rows import key, newest, put
from tests.unit.conftest import until

LOOK_S, LATE_S = 0.01, 0.1


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[SqlStore]:
    """Another process, as far as the file is concerned."""
    store = make_store("sqlite", str(tmp_path))
    await store.open(migrate=True)
    yield store
    await store.close()


def watch(tmp_path: Path, bell: Bell) -> FileWatch:
    return FileWatch(str(tmp_path / FILE), bell.ring, look_s=LOOK_S, late_s=LATE_S)


async def until_silent(bell: Bell) -> None:
    """Until it has not been rung for a while."""
    rung = -1
    while rung != bell.rung:
        rung = bell.rung
        await asyncio.sleep(LATE_S + 5 * LOOK_S)


async def test_each_change_is_noticed_and_looked_after_for_a_while(other: SqlStore, tmp_path: Path) -> None:
    bell = Bell()
    watched = watch(tmp_path, bell)
    assert watched.hears
    await asyncio.sleep(5 * LOOK_S)
    assert bell.rung == 0
    for n in range(3):
        bell.rung = 0
        await put(other, key(f"k{n}"))
        await until(lambda: bell.rung > 1)
        await until_silent(bell)
    await watched.stop()


async def test_reading_is_not_taken_for_writing(other: SqlStore, tmp_path: Path) -> None:
    await put(other, key())
    bell = Bell()
    watched = watch(tmp_path, bell)
    for _ in range(10):
        await newest(other)
        await asyncio.sleep(LOOK_S)
    assert bell.rung == 0
    await watched.stop()


async def test_a_file_that_is_not_there_yet_is_noticed_once_it_is(tmp_path: Path) -> None:
    bell = Bell()
    watched = watch(tmp_path, bell)
    await asyncio.sleep(5 * LOOK_S)
    assert bell.rung == 0
    (tmp_path / FILE).write_bytes(b"")
    (tmp_path / f"{FILE}-wal").write_bytes(b"")
    await bell.heard()
    await watched.stop()


async def test_it_is_silent_once_it_is_stopped(other: SqlStore, tmp_path: Path) -> None:
    bell = Bell()
    watched = watch(tmp_path, bell)
    await watched.stop()
    await watched.stop()
    await put(other, key())
    await asyncio.sleep(5 * LOOK_S)
    assert bell.rung == 0
