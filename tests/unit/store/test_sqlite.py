"""The SQLite file: whose it is, what is told when it cannot be used, and that a transaction ends whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import stat
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiosqlite
import pytest

from penstock.keys.model import Key
from penstock.store.interface import StoreAwayError, StoreRefusedError
from penstock.store.migrate import FOLDER, read_migrations
from penstock.store.open import FILE, make_asking
from penstock.store.sql import SqlStore
from penstock.store.sqlite import SqliteDatabase
from tests.support.child import Child
from tests.support.store_rules.rows import HASH, change, everything, key, newest, put

BUSY_S = 0.1


def make(data_dir: Path) -> SqlStore:
    """A store that does not wait long for other processes."""
    return SqlStore(SqliteDatabase(str(data_dir / FILE), BUSY_S), read_migrations(FOLDER / "sqlite"))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    store = make(tmp_path)
    await store.open(migrate=True)
    yield store
    await store.close()


def modes(data_dir: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in data_dir.iterdir()}


async def test_only_the_owner_can_read_what_is_written(store: SqlStore, tmp_path: Path) -> None:
    await put(store, key())
    assert modes(tmp_path) == {FILE: 0o600, f"{FILE}-wal": 0o600, f"{FILE}-shm": 0o600}


async def test_lax_permissions_are_mended(store: SqlStore, tmp_path: Path) -> None:
    for name in modes(tmp_path):
        (tmp_path / name).chmod(0o644)
    other = make(tmp_path)
    await other.open(migrate=False)
    assert set(modes(tmp_path).values()) == {0o600}
    await other.close()


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
async def test_a_link_is_neither_followed_nor_what_it_points_to_touched(tmp_path: Path, end: str) -> None:
    (tmp_path / "theirs").write_text("")
    (tmp_path / "theirs").chmod(0o644)
    (tmp_path / f"{FILE}{end}").symlink_to(tmp_path / "theirs")
    with pytest.raises(StoreRefusedError, match=f"{FILE}{end} is a symbolic link"):
        await make(tmp_path).open(migrate=True)
    assert modes(tmp_path)["theirs"] == 0o644
    assert (tmp_path / "theirs").read_text() == ""


async def test_a_data_dir_that_is_not_there_is_made(tmp_path: Path) -> None:
    store = make(tmp_path / "new" / "data")
    await store.open(migrate=True)
    await store.close()
    assert modes(tmp_path / "new") == {"data": 0o700}
    assert modes(tmp_path / "new" / "data") == {FILE: 0o600}


async def test_every_change_is_synced_and_written_ahead(store: SqlStore) -> None:
    async def settings(session: object) -> tuple[object, ...]:
        return tuple([(await session.fetch(f"PRAGMA {name}"))[0][0] for name in ("journal_mode", "synchronous")])  # type: ignore[attr-defined]

    full = 2
    assert await store._database.write(settings) == ("wal", full)


async def test_a_path_with_odd_characters_is_the_path(tmp_path: Path) -> None:
    store = make(tmp_path / "a?b#c%20 d")
    await store.open(migrate=True)
    await store.close()
    assert os.listdir(tmp_path / "a?b#c%20 d") == [FILE]


@pytest.mark.parametrize(
    ("content", "words"), [(b"this is not a database, but it is long enough to be one", "restore it from a backup")]
)
async def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / FILE).write_bytes(content * 100)
    store = make(tmp_path)
    with pytest.raises(StoreRefusedError, match=words):
        await store.open(migrate=True)
    await store.close()
    assert (tmp_path / FILE).read_bytes() == content * 100


async def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(StoreRefusedError, match=f"{FILE}: Is a directory"):
        await make(tmp_path).open(migrate=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreRefusedError, match="choose another data_dir"):
        await make(tmp_path / "file").open(migrate=True)


async def test_a_file_that_another_process_holds_is_away_and_comes_back(store: SqlStore, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreAwayError, match="held by another process"):
            await put(store, key())
        assert await newest(store) == 0  # reading waits for nobody
        other.execute("ROLLBACK")
    assert (await put(store, key())).version == 1


@pytest.mark.parametrize(("code", "in_doubt"), [(sqlite3.SQLITE_IOERR | 4 << 8, True), (sqlite3.SQLITE_BUSY, False)])
async def test_a_change_is_in_doubt_when_the_disk_fails_while_it_is_committed(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch, code: int, in_doubt: bool
) -> None:
    usual = aiosqlite.Connection.execute_fetchall

    async def fail(connection: aiosqlite.Connection, sql: str, *values: object) -> object:
        if sql != "COMMIT":
            return await usual(connection, sql, *values)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = code
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(aiosqlite.Connection, "execute_fetchall", fail)
        with pytest.raises(StoreAwayError) as caught:
            await put(store, key())
        assert caught.value.in_doubt == in_doubt
        with pytest.raises(StoreAwayError) as caught:
            await store.changes(None, None, 1)
        assert not caught.value.in_doubt
    assert (await put(store, key())).version == 1


async def test_a_row_that_somebody_else_wrote_is_named(store: SqlStore, tmp_path: Path) -> None:
    await put(store, key())
    with contextlib.closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("UPDATE penstock_keys SET models = '{not json'")
    with pytest.raises(StoreRefusedError, match="the row 'k1' cannot be read"):
        await store.get(Key, "k1")


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [("owner", "x'00ff'", "BLOB"), ("owner", "CAST(x'ff' AS TEXT)", "owner"), ("tags", "CAST(x'ff' AS TEXT)", "tags")],
)
async def test_a_value_that_nobody_here_wrote_is_refused_among_many(
    store: SqlStore, tmp_path: Path, column: str, value: str, words: str
) -> None:
    await put(store, key("k1"))
    await put(store, key("k2"))
    with contextlib.closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute(f"UPDATE penstock_keys SET {column} = {value} WHERE id = 'k2'")  # noqa: S608
    with pytest.raises(StoreRefusedError, match=words) as refused:
        await store.changed_since(0, 100)
    assert "argon2id" not in str(refused.value)


async def test_odd_letters_come_back_as_they_are_among_many(store: SqlStore) -> None:
    odd = "".join(map(chr, range(1, 0x180))) + "\u2028\ufeff\U0001f600"
    await put(store, key(owner=odd, tags={odd: odd}))
    (found,) = (await store.changed_since(0, 100)).rows
    assert isinstance(found, Key)
    assert (found.owner, found.tags) == (odd, {odd: odd})


async def test_a_store_without_its_counter_is_refused(store: SqlStore, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("DELETE FROM penstock_state")
    with pytest.raises(StoreRefusedError, match="penstock_state has 0 rows"):
        await newest(store)


async def test_a_call_that_is_given_up_is_whole_and_the_next_one_works(store: SqlStore) -> None:
    for n in range(20):
        row = key(f"k{n}")
        task = asyncio.ensure_future(store.save(row, None, change(row, id=f"c{n}")))
        for _ in range(n):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert await store.save(row, None, change(row, id=f"c{n}")) == n + 1
    assert len(await everything(store)) == 20


async def test_closing_waits_for_what_was_begun(tmp_path: Path) -> None:
    store = make(tmp_path)
    await store.open(migrate=True)
    rows = [key(f"k{n}") for n in range(5)]
    calls = [asyncio.ensure_future(store.save(row, None, change(row))) for row in rows]
    await asyncio.sleep(0)
    await store.close()
    ends = await asyncio.gather(*calls, return_exceptions=True)
    await store.open(migrate=False)
    assert len(await everything(store)) == len([end for end in ends if isinstance(end, int)])
    await store.close()


async def test_no_hash_and_no_name_comes_into_a_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        store = make(tmp_path)
        await store.open(migrate=True)
        await put(store, key(name="a private name"))
        await store.replace_hash("k1", 1, HASH, "another hash")
        await store.close()
    assert not [word for word in (HASH, "another hash", "a private name") if word in caplog.text]


def test_a_process_that_forgets_to_close_ends_all_the_same(tmp_path: Path) -> None:
    with Child("tests.unit.store.forgetful", str(tmp_path)) as child:
        assert child.rest(10.0) == ("1\n", 0)


async def test_a_second_database_of_a_process_leaves_the_locks_of_the_first(store: SqlStore, tmp_path: Path) -> None:
    """Else the next process to leave would remove what the first has mapped, and end it by SIGBUS."""
    second = make_asking("sqlite", str(tmp_path))
    assert await second.has_records()
    mapped = (tmp_path / f"{FILE}-shm").stat().st_ino
    leave = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM penstock_state'); c.close()"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", leave, str(tmp_path / FILE))
    assert await process.wait() == 0
    assert (tmp_path / f"{FILE}-shm").stat().st_ino == mapped
    await second.close()
    await put(store, key("k"))


@pytest.mark.parametrize("given_up", [True, False], ids=["nobody waits", "it takes too long"])
@pytest.mark.usefixtures("store")
async def test_a_statement_that_has_yet_to_begin_is_ended_too(tmp_path: Path, given_up: bool) -> None:
    database = SqliteDatabase(str(tmp_path / FILE), call_s=20 if given_up else 0.1, is_prepared=True)
    await database.open()
    reader = database._reader
    assert reader is not None
    busy = asyncio.ensure_future(reader.connection._execute(time.sleep, 0.3))  # type: ignore[no-untyped-call]
    count = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) SELECT sum(i) FROM n"
    task = asyncio.ensure_future(database.ask(count))
    await asyncio.sleep(0.05)
    if given_up:
        task.cancel()
    with pytest.raises((asyncio.CancelledError, StoreAwayError)):
        await task
    async with asyncio.timeout(5):
        await busy
        assert await database.ask("SELECT 1") == [(1,)]
        assert await database.read(lambda session: session.fetch("SELECT 2")) == [(2,)]
        await database.close()
