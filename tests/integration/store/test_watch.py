"""`watch` on PostgreSQL hears of a change at once, comes back when it was cut, and is silent behind a pooler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from penstock.store.interface import Watch
from penstock.store.open import make_store
from penstock.store.sql import SqlStore
from tests.support.bell import Bell
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import Postgres
from tests.support.store_rules.rows import drop, key, newest, put
from tests.unit.conftest import until

pytestmark = pytest.mark.postgres
LISTENING = "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND query LIKE 'LISTEN%'"


def hears(watch: Watch) -> bool:
    """What it says now."""
    return watch.hears


@pytest.fixture
async def node(postgres: Postgres, database: str) -> AsyncIterator[SqlStore]:
    store = make_store(postgres.url(database), "")
    await store.open(migrate=False)
    yield store
    await store.close()


@pytest.fixture
async def other(postgres: Postgres, database: str) -> AsyncIterator[SqlStore]:
    store = make_store(postgres.url(database), "")
    await store.open(migrate=False)
    yield store
    await store.close()


async def test_a_change_on_another_node_is_heard(node: SqlStore, other: SqlStore) -> None:
    bell = Bell()
    watch = await node.watch(bell.ring)
    assert not hears(watch)
    await bell.heard()  # it listens now
    assert hears(watch)
    row = await put(other, key())
    await bell.heard()
    await drop(other, row)
    await bell.heard()
    await watch.stop()
    heard = bell.rung
    await put(other, key("k2"))
    await newest(other)
    assert bell.rung == heard


async def test_what_is_no_change_is_not_heard(node: SqlStore, other: SqlStore) -> None:
    bell = Bell()
    row = await put(other, key())
    watch = await node.watch(bell.ring)
    await bell.heard()
    await other.touch({row.id: 5})
    await other.replace_hash(row.id, 1, row.secrets[0].hash, "new")
    await put(other, key("k2"))
    await bell.heard()
    assert bell.rung == 2
    await watch.stop()


async def test_a_listener_that_is_cut_comes_back_and_looks_at_once(
    postgres: Postgres, database: str, node: SqlStore, other: SqlStore
) -> None:
    bell = Bell()
    watch = await node.watch(bell.ring)
    await bell.heard()
    cut = LISTENING.format(database).replace("count(*)", "pg_terminate_backend(pid)")
    assert postgres.sql(cut) == "t"
    await bell.heard()
    assert not hears(watch)
    await bell.heard()
    assert hears(watch)
    await put(other, key())
    await bell.heard()
    await watch.stop()


async def test_closing_the_store_ends_its_listeners(postgres: Postgres, database: str, node: SqlStore) -> None:
    bell = Bell()
    watch = await node.watch(bell.ring)
    await bell.heard()
    assert postgres.sql(LISTENING.format(database)) == "1"
    await node.close()
    await until(lambda: postgres.sql(LISTENING.format(database)) == "0")
    await watch.stop()


async def test_behind_a_pooler_nobody_listens(
    postgres: Postgres, pgbouncer: PgBouncer, database: str, other: SqlStore
) -> None:
    store = make_store(pgbouncer.url(database), "")
    await store.open(migrate=False)
    bell = Bell()
    watch = await store.watch(bell.ring)
    tasks = len(asyncio.all_tasks())
    await until(lambda: len(asyncio.all_tasks()) < tasks)  # it has given up
    await put(other, key())
    assert await newest(store) == 1
    assert bell.rung == 0
    assert not hears(watch)
    assert postgres.sql(LISTENING.format(database)) == "0"
    await watch.stop()
    await store.close()


async def test_a_server_that_is_away_is_no_matter_for_a_watch() -> None:
    with Postgres() as own:
        node = make_store(own.url(own.create()), "")
        await node.open(migrate=True)
        own.stop()
        bell = Bell()
        watch = await node.watch(bell.ring)
        own.start()
        await bell.heard()
        await put(node, key())
        await bell.heard()
        await watch.stop()
        await node.close()
