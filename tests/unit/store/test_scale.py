"""With 100,000 keys a poll, a change and a look-up read a few pages, not a table."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from penstock.keys.model import Key, Team
from penstock.store import record_statements, statements
from penstock.store.interface import Filter
from penstock.store.rows import SHAPES
from penstock.store.sqlite import FLAVOUR, SqliteDatabase
from tests.unit.store.test_sqlite import make

ASKED = {
    **{f"changed_since {shape.table}": statements.written_after(shape, FLAVOUR) for shape in SHAPES.values()},
    **{f"get {shape.table}": f"{statements.select(shape, FLAVOUR)} WHERE r.id = $1" for shape in SHAPES.values()},
    "find_team": f"{statements.select(SHAPES[Team], FLAVOUR)} WHERE r.name_hash = $1 AND r.state <> 'deleted'",
    "state": statements.STATE,
    "change made": statements.CHANGE_MADE,
    "team by name": statements.TEAM_BY_NAME,
    "team has keys": statements.TEAM_HAS_KEYS,
    "touch": FLAVOUR.touch,
    "list": statements.listing(Key, Filter(), "a", 10, FLAVOUR)[0],
    "list of a team": statements.listing(Key, Filter(team="t"), "a", 10, FLAVOUR)[0],
    "purge": statements.purge(SHAPES[Key]),
    "changes": statements.changes(None, 5, 10)[0],
    "changes of one": statements.changes("k", 5, 10)[0],
}


async def planned(sql: str, folder: Path) -> list[str]:
    store = make(folder)
    await store.open(migrate=True)
    await store.close()
    with contextlib.closing(sqlite3.connect(SqliteDatabase(str(folder / "penstock.sqlite")).place)) as file:
        values = {str(n): 1 if n > 1 else "1" for n in range(1, 10)}
        return [row[3] for row in file.execute(f"EXPLAIN QUERY PLAN {sql}", values)]


@pytest.mark.parametrize("asked", ASKED)
async def test_no_table_is_read_whole(asked: str, tmp_path: Path) -> None:
    plan = await planned(ASKED[asked], tmp_path)
    assert plan
    assert not [line for line in plan if line.startswith("SCAN") and "penstock" in line], plan
    assert not [line for line in plan if line.startswith(("SCAN r", "SCAN c"))], plan
    assert not [line for line in plan if "ORDER BY" in line and "RIGHT PART" not in line], plan


async def test_records_that_are_too_old_are_found_by_their_day(tmp_path: Path) -> None:
    plan = await planned(record_statements.PURGE_RECORDS, tmp_path)
    assert any("INDEX penstock_records_day (day<?)" in line for line in plan), plan
    assert not [line for line in plan if line.startswith("SCAN penstock")], plan
