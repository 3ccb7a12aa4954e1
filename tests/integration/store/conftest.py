"""One store a test: a file, a database, or a database behind pgbouncer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from penstock.store.open import make_store
from penstock.store.sql import SqlStore
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import Postgres
from tests.support.store_handles import Handles

BEHIND_SERVER = [pytest.param(name, marks=pytest.mark.postgres) for name in ("postgres", "pgbouncer")]


@pytest.fixture(scope="session")
def migrated(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with the schema and nothing in it; tests take copies."""
    name = postgres.create()

    async def migrate() -> None:
        async with Handles(lambda: make_store(postgres.url(name), "")) as handles:
            await handles.make()

    asyncio.run(migrate())
    return name


@pytest.fixture
def database(postgres: Postgres, migrated: str) -> Iterator[str]:
    """The name of a database with the schema."""
    name = postgres.create(migrated)
    yield name
    postgres.drop(name)


@pytest.fixture(params=["sqlite", *BEHIND_SERVER])
def new(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], SqlStore]:
    """Makes handles, not opened yet, on one store."""
    if request.param == "sqlite":
        return lambda: make_store("sqlite", str(tmp_path))
    name: str = request.getfixturevalue("database")
    behind: Postgres | PgBouncer = request.getfixturevalue(request.param)
    return lambda: make_store(behind.url(name), "")


@pytest.fixture
async def handles(new: Callable[[], SqlStore]) -> AsyncIterator[Handles]:
    async with Handles(new) as opened:
        yield opened
