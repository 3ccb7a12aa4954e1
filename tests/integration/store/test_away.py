"""A PostgreSQL server that is away, silent, or not to be used: told soon, and used again when it is back."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest

from penstock.keys.model import Key
from penstock.store.database import Session
from penstock.store.interface import StoreAwayError, StoreError, StoreRefusedError
from penstock.store.migrate import FOLDER, read_migrations
from penstock.store.open import make_store
from penstock.store.postgres import PostgresDatabase
from penstock.store.sql import SqlStore
from penstock.store.statements import NEXT_VERSION
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import CHECKED, PASSWORD, Postgres
from tests.support.store_rules.rows import change, key, newest, put
from tests.unit.conftest import until

pytestmark = pytest.mark.postgres
SOON_S = 0.3
"""Within which the stores of these tests are answered; then they are away."""
POOL = 3


def store_at(url: str, password_file: str | None = None) -> SqlStore:
    database = PostgresDatabase(url, password_file=password_file, pool=POOL, call_s=SOON_S)
    return SqlStore(database, read_migrations(FOLDER / "postgres"))


async def fails(call: Awaitable[object], kind: type[StoreError]) -> str:
    """The words of the error that a call ends with, soon."""
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        await call
    assert time.monotonic() - began < 3 * SOON_S
    return str(caught.value)


@pytest.fixture
async def store(postgres: Postgres, database: str) -> AsyncIterator[SqlStore]:
    store = store_at(postgres.url(database))
    await store.open(migrate=False)
    yield store
    await store.close()


async def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        port = taken.getsockname()[1]
        store = store_at(f"postgresql://u:topsecret@127.0.0.1:{port}/db")
        said = await fails(store.open(migrate=True), StoreAwayError)
        assert said.startswith(f"PostgreSQL at 127.0.0.1:{port} does not answer")
        assert "not been opened" in await fails(newest(store), StoreAwayError)
        with pytest.raises(StoreAwayError, match="not been opened"):
            _ = store.id
        await store.close()


async def test_somebody_listens_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = store_at(f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/db")
        await fails(store.open(migrate=True), StoreAwayError)
        await store.close()


async def test_a_server_that_falls_silent_is_away_and_used_again_when_it_speaks(tmp_path: Path) -> None:
    with Postgres() as own:
        url = own.url(own.create())
        store = store_at(url)
        await store.open(migrate=True)
        await put(store, key())
        own.stall()
        assert "did not answer within 0.3 s" in await fails(store.get(Key, "k1"), StoreAwayError)
        await fails(store.save(key("k2"), None, change(key("k2"))), StoreAwayError)
        own.resume()
        assert await store.get(Key, "k1") is not None
        own.stop()
        await fails(store.get(Key, "k1"), StoreAwayError)
        own.start()
        assert await store.get(Key, "k1") is not None
        await store.close()


async def test_a_restart_of_the_server_between_two_calls_is_not_noticed() -> None:
    with Postgres() as own:
        store = store_at(own.url(own.create()))
        await store.open(migrate=True)
        await asyncio.gather(*(newest(store) for _ in range(2 * POOL)))  # every connection of the pool
        for turn in range(3):
            own.kill()
            own.start()
            assert await newest(store) == turn
            await put(store, key(f"k{turn}"))
        await store.close()


async def test_a_wrong_password_is_told_without_it(postgres: Postgres, database: str) -> None:
    store = store_at(postgres.url(database, user=CHECKED, password="topsecret"))
    said = await fails(store.open(migrate=True), StoreRefusedError)
    assert "password authentication failed" in said
    assert "topsecret" not in said + repr(store)


async def test_a_password_comes_from_its_file_and_may_change(postgres: Postgres, database: str, tmp_path: Path) -> None:
    file = tmp_path / "password"
    store = store_at(postgres.url(database, user=CHECKED), password_file=str(file))
    assert str(file) in await fails(store.open(migrate=False), StoreRefusedError)
    file.write_text("wrong\n")
    await fails(store.open(migrate=False), StoreRefusedError)
    file.write_text(f"{PASSWORD}\n")
    assert await store.open(migrate=False) == []
    await store.close()


async def test_a_password_in_the_address_may_hold_any_character(postgres: Postgres, database: str) -> None:
    store = store_at(postgres.url(database, user=CHECKED, password=PASSWORD))
    assert await store.open(migrate=False) == []
    await store.close()


async def test_a_unix_socket_will_do(postgres: Postgres, database: str) -> None:
    store = make_store(postgres.socket_url(database), "")
    assert await store.open(migrate=False) == []
    await store.close()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("sslmode=require", "rejected SSL"),
        ("sslmode=perhaps", "sslmode"),
        ("sslmode=verify-full&sslrootcert=/no", "sslrootcert /no cannot be read"),
    ],
)
async def test_sslmode_is_heeded(postgres: Postgres, database: str, query: str, words: str) -> None:
    store = store_at(f"{postgres.url(database)}?{query}")
    assert words in await fails(store.open(migrate=False), StoreRefusedError)


async def test_a_database_that_is_not_there_is_named(postgres: Postgres) -> None:
    said = await fails(store_at(postgres.url("nowhere")).open(migrate=True), StoreRefusedError)
    assert 'database "nowhere" does not exist' in said


async def test_a_database_that_cannot_hold_every_text_is_refused(postgres: Postgres) -> None:
    postgres.sql("CREATE DATABASE narrow TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    said = await fails(store_at(postgres.url("narrow")).open(migrate=True), StoreRefusedError)
    assert "encoding LATIN1" in said
    postgres.drop("narrow")


async def test_a_role_without_rights_is_refused(postgres: Postgres, database: str) -> None:
    postgres.sql("CREATE ROLE nobody_here LOGIN")
    said = await fails(store_at(postgres.url(database, user="nobody_here")).open(migrate=False), StoreRefusedError)
    assert "permission denied" in said
    postgres.sql("DROP ROLE nobody_here")


async def test_a_server_that_only_reads_is_away_for_changes(postgres: Postgres, database: str, store: SqlStore) -> None:
    postgres.sql(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    standby = store_at(postgres.url(database))
    await standby.open(migrate=False)
    assert await newest(standby) == 0
    said = await fails(standby.save(key(), None, change(key())), StoreAwayError)
    assert "read-only transaction" in said
    await standby.close()


async def test_a_node_that_stops_inside_a_change_does_not_stop_the_others_for_good(
    postgres: Postgres, database: str, store: SqlStore
) -> None:
    """The counter is held by whoever hangs: the others are told, and go on when the server has ended that change."""
    holds = asyncio.Event()
    hanging = PostgresDatabase(postgres.url(database), call_s=60.0)

    async def hang(session: Session) -> None:
        await session.fetch(NEXT_VERSION)
        holds.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(hanging.write(hang))
    held = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND state = 'idle in transaction'"  # noqa: S608
    await holds.wait()
    await fails(store.save(key(), None, change(key())), StoreAwayError)
    assert await newest(store) == 0  # reading waits for nobody
    await until(lambda: postgres.sql(held) == "0", 10.0)
    assert (await put(store, key("k2"))).version == 1
    task.cancel()
    await asyncio.wait([task])
    await hanging.close()


async def test_a_call_that_is_given_up_leaves_nothing_half_done(postgres: Postgres, store: SqlStore) -> None:
    for n in range(20):
        row = key(f"k{n}")
        task = asyncio.ensure_future(store.save(row, None, change(row, id=f"c{n}")))
        for _ in range(n):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        found = await store.get(Key, row.id)
        changes = await store.changes(row.id, None, 9)
        assert (found is not None) == (len(changes) == 1)
        assert found is None or found.secrets == row.secrets
        assert await store.save(row, None, change(row, id=f"c{n}")) == n + 1


@pytest.mark.parametrize("behind", ["postgres", "pgbouncer"])
async def test_a_statement_that_nobody_waits_for_any_more_is_ended(
    request: pytest.FixtureRequest, postgres: Postgres, database: str, behind: str
) -> None:
    server: Postgres | PgBouncer = request.getfixturevalue(behind)
    asked = PostgresDatabase(server.url(database), pool=1, call_s=SOON_S)
    await fails(asked.ask("SELECT pg_sleep(20)"), StoreAwayError)
    await fails(asked.read(lambda session: session.fetch("SELECT pg_sleep(20)")), StoreAwayError)
    where = f"datname = '{database}' AND state = 'active' AND query LIKE '%pg_sleep%'"
    await until(lambda: postgres.sql(f"SELECT count(*) FROM pg_stat_activity WHERE {where}") == "0", 2.0)  # noqa: S608
    assert list((await asked.ask("SELECT 1"))[0]) == [1]
    await asked.close()


async def test_the_pool_is_bounded_and_keeps_no_state(postgres: Postgres, database: str, store: SqlStore) -> None:
    await asyncio.gather(*(put(store, key(f"k{n}")) for n in range(20)), *(newest(store) for _ in range(20)))
    where = f"datname = '{database}' AND pid <> pg_backend_pid()"
    states = postgres.sql(f"SELECT state FROM pg_stat_activity WHERE {where}").splitlines()  # noqa: S608
    assert 1 <= len(states) <= POOL
    assert set(states) == {"idle"}
    locks = f"SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE {where}"  # noqa: S608
    assert postgres.sql(locks) == "0"


async def test_closing_cuts_what_is_under_way(store: SqlStore) -> None:
    calls = [asyncio.ensure_future(store.save(key(f"k{n}"), None, change(key(f"k{n}")))) for n in range(10)]
    await asyncio.sleep(0)
    await store.close()
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(end, int | StoreAwayError) for end in ends)
    assert any(isinstance(end, StoreAwayError) for end in ends)
