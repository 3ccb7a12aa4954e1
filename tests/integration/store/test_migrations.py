"""Schemas: made once, checked always, and shared by neighbouring releases."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest

from penstock.keys.model import Key, Team
from penstock.store.interface import StoreRefusedError
from penstock.store.migrate import FOLDER, Migration, read_migrations
from penstock.store.open import make_store
from penstock.store.record_statements import partition
from penstock.store.sql import SqlStore
from tests.support.child import Child
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import Postgres
from tests.support.releases import BROKEN, NARROWER, WIDER, folder_of, released
from tests.support.store_handles import Handles
from tests.support.store_rules import RULES, Rule
from tests.support.store_rules.rows import key, put

from .conftest import BEHIND_SERVER

STARTS = 4
OURS = [each.name for each in read_migrations(FOLDER / "sqlite")]
New = Callable[[], SqlStore]


@pytest.fixture(params=["sqlite", *BEHIND_SERVER])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a store without a schema."""
    if request.param == "sqlite":
        yield "sqlite"
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    name = postgres.create()
    behind: Postgres | PgBouncer = request.getfixturevalue(request.param)
    yield behind.url(name)
    postgres.drop(name)


@pytest.fixture
def new(url: str, tmp_path: Path) -> New:
    return lambda: make_store(url, str(tmp_path / "data"))


@pytest.fixture
def release(url: str, new: New, tmp_path: Path) -> Callable[..., SqlStore]:
    """The store as a release with further migrations has it."""

    def make(**further: str) -> SqlStore:
        folder = folder_of("sqlite" if url == "sqlite" else "postgres", tmp_path, **further)
        return released(new(), read_migrations(folder))

    return make


async def opened(store: SqlStore, *, migrate: bool = True) -> list[str]:
    """What opening made; closes again."""
    try:
        return await store.open(migrate=migrate)
    finally:
        await store.close()


async def test_the_schema_is_made_by_the_first_start_and_found_by_the_next(new: New) -> None:
    assert await opened(new()) == OURS
    assert await opened(new()) == []
    assert await opened(new(), migrate=False) == []


async def test_without_leave_to_migrate_the_command_is_named(new: New) -> None:
    with pytest.raises(StoreRefusedError, match=rf"lacks {', '.join(OURS)}: run `penstock migrate`"):
        await opened(new(), migrate=False)
    assert await opened(new()) == OURS


def test_nodes_that_start_together_migrate_once(url: str, tmp_path: Path) -> None:
    folder = folder_of("sqlite" if url == "sqlite" else "postgres", tmp_path, _0098_notes=WIDER)
    arguments = [url, str(tmp_path / "data"), str(folder)]
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(Child("tests.support.opener", *arguments)) for _ in range(STARTS)]
        assert [node.line() for node in nodes] == ["ready"] * STARTS
        for node in nodes:
            node.tell("")
        ends = [node.rest() for node in nodes]
    assert [code for _, code in ends] == [0] * STARTS
    assert sorted(name for said, _ in ends for name in json.loads(said)) == [*OURS, "0098_notes"]


async def test_handles_that_open_together_migrate_once(new: New) -> None:
    made = await asyncio.gather(*(opened(new()) for _ in range(6)))
    assert sorted(name for names in made for name in names) == OURS


async def test_this_code_runs_on_the_schema_of_the_next_release(new: New, release: Callable[..., SqlStore]) -> None:
    assert await opened(new()) == OURS
    assert await opened(release(_0098_notes=WIDER)) == ["0098_notes"]
    async with Handles(new) as handles:
        store = await handles.make()
        team = await put(store, Team(id="t", name="a"))
        row = await put(store, key(team=team.id))
        assert await store.get(Key, row.id) == row
        assert await store.open(migrate=True) == []
        assert await store.open(migrate=False) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
async def test_every_rule_holds_on_the_schema_of_the_next_release(rule: Rule, tmp_path: Path) -> None:
    newer = read_migrations(folder_of("sqlite", tmp_path, _0098_notes=WIDER))
    assert await opened(released(make_store("sqlite", str(tmp_path)), newer)) == [*OURS, "0098_notes"]
    async with Handles(lambda: make_store("sqlite", str(tmp_path))) as handles:
        await rule(handles.make)


async def test_a_schema_that_is_two_releases_ahead_or_narrower_is_refused(
    new: New, release: Callable[..., SqlStore]
) -> None:
    assert await opened(release(_0098_notes=WIDER, _0099_more="-- expand: nothing\nSELECT 1;\n")) != []
    with pytest.raises(StoreRefusedError, match=r"newer than this release can run on \(0098_notes, 0099_more\)"):
        await opened(new())


async def test_a_schema_that_took_something_away_is_refused(new: New, release: Callable[..., SqlStore]) -> None:
    narrower = "-- contract: nobody reads owners any more\nALTER TABLE penstock_keys DROP COLUMN owner;\n"
    assert await opened(release(_0098_owners=narrower)) == [*OURS, "0098_owners"]
    with pytest.raises(StoreRefusedError, match="newer than this release can run on"):
        await opened(new())


async def test_the_release_that_contracts_runs_behind_the_one_that_expanded(release: Callable[..., SqlStore]) -> None:
    assert await opened(release(_0098_notes=WIDER)) == [*OURS, "0098_notes"]
    assert await opened(release(_0098_notes=WIDER, _0099_notes=NARROWER)) == ["0099_notes"]


async def test_a_migration_that_was_changed_after_it_was_made_is_refused(
    new: New, release: Callable[..., SqlStore]
) -> None:
    assert await opened(release(_0098_notes=WIDER)) == [*OURS, "0098_notes"]
    with pytest.raises(StoreRefusedError, match="0098_notes is not the one that made this schema"):
        await opened(release(_0098_notes=f"{WIDER}-- a second thought\n"))
    assert await opened(new()) == []


async def test_a_migration_that_slips_in_before_one_that_was_made_is_refused(
    release: Callable[..., SqlStore],
) -> None:
    assert await opened(release(_0099_notes=WIDER)) == [*OURS, "0099_notes"]
    with pytest.raises(StoreRefusedError, match="out of order"):
        await opened(release(_0098_late="-- expand: late\nSELECT 1;\n", _0099_notes=WIDER))


async def test_a_migration_that_fails_leaves_nothing_behind(new: New, release: Callable[..., SqlStore]) -> None:
    with pytest.raises(StoreRefusedError, match="penstock_nowhere"):
        await opened(release(_0098_broken=BROKEN))
    assert await opened(new()) == []
    mended = BROKEN.replace("INSERT INTO penstock_nowhere (id)", "INSERT INTO penstock_half (id)")
    assert await opened(release(_0098_broken=mended)) == ["0098_broken"]


@pytest.mark.postgres
async def test_a_migration_that_waits_for_a_reader_keeps_nobody_else_waiting(
    postgres: Postgres, tmp_path: Path
) -> None:
    """Whoever waits for a table keeps all those waiting that come behind."""
    name = postgres.create()
    newer = read_migrations(folder_of("postgres", tmp_path, _0098_notes=WIDER))
    async with Handles(lambda: make_store(postgres.url(name), "")) as handles:
        store = await handles.make()
        reader = await asyncpg.connect(postgres.url(name))
        await reader.execute("BEGIN; SELECT * FROM penstock_keys")
        migrating = asyncio.ensure_future(opened(released(make_store(postgres.url(name), ""), newer)))
        began = time.monotonic()
        for number in range(1_000):
            await put(store, key(f"k{number}"))
            if time.monotonic() > began + 4:
                break
        assert number > 30
        assert not migrating.done()
        await reader.close()
        assert await migrating == ["0098_notes"]
    postgres.drop(name)


@pytest.mark.postgres
async def test_indexes_of_records_come_without_reading_days_that_have_rows(postgres: Postgres) -> None:
    name = postgres.create()
    url = postgres.url(name)
    own = "SELECT count(*) FROM pg_index WHERE indrelid = $1::regclass AND indisvalid"
    of_all = (
        "SELECT bool_and(indisvalid) FROM pg_index WHERE indrelid = 'penstock_records'::regclass"
        " AND indexrelid::regclass::text = $1"
    )
    before = read_migrations(FOLDER / "postgres")[:4]
    assert len(await opened(released(make_store(url, ""), before))) == 4
    direct = await asyncpg.connect(url)
    try:
        for day in (7, 8):
            await direct.execute(partition(f"penstock_records_{day}", day))
        await direct.execute(
            "INSERT INTO penstock_records (day, instance, sequence, kind, hash, public) VALUES (7, 'a', 1, 1, '', '')"
        )
        assert [await direct.fetchval(own, f"penstock_records_{day}") for day in (7, 8)] == [4, 4]
        assert await opened(released(make_store(url, ""), read_migrations(FOLDER / "postgres")[:5])) == ["0005_asking"]
        by_team = "CREATE INDEX {} ON penstock_records_{} (team, started_us) WHERE outcome IS NOT NULL"
        await direct.execute(by_team.format("penstock_records_7_team", 7))
        await direct.execute("ALTER INDEX penstock_records_team ATTACH PARTITION penstock_records_7_team")
        await direct.execute("ALTER INDEX penstock_records_8_team RENAME TO penstock_records_8_by_team")
        await direct.execute(by_team.format("penstock_records_8_team", 8))
        assert [await direct.fetchval(own, f"penstock_records_{day}") for day in (7, 8)] == [5, 10]
        assert await opened(make_store(url, "")) == ["0006_sparse"]
        await direct.execute(partition("penstock_records_9", 9))
        assert [await direct.fetchval(own, f"penstock_records_{day}") for day in (7, 8, 9)] == [4, 9, 9]
        assert not await direct.fetchval(of_all, "penstock_records_team")
        await direct.execute(
            "CREATE INDEX CONCURRENTLY penstock_records_7_team ON penstock_records_7 (team, started_us)"
            " WHERE outcome IS NOT NULL AND team IS NOT NULL"
        )
        await direct.execute("ALTER INDEX penstock_records_team ATTACH PARTITION penstock_records_7_team")
        assert await direct.fetchval(of_all, "penstock_records_team"), "each day that there is has it"
        await direct.execute("DROP TABLE penstock_records_7")
        await direct.execute(partition("penstock_records_10", 10))
        assert await direct.fetchval(own, "penstock_records_10") == 9
    finally:
        await direct.close()
        postgres.drop(name)


@pytest.mark.postgres
async def test_records_without_team_and_tags_take_nothing_in_the_indexes_of_these(postgres: Postgres) -> None:
    name = postgres.create()
    url = postgres.url(name)
    assert await opened(make_store(url, "")) == OURS
    direct = await asyncpg.connect(url)
    try:
        await direct.execute(partition("penstock_records_7", 7))
        indexes = "team_started_us", "tags"

        async def sizes() -> list[int]:
            of = [f"penstock_records_7_{index}_idx" for index in indexes]
            return [await direct.fetchval("SELECT pg_relation_size($1::text::regclass)", each) for each in of]

        async def add(first: int, team: str | None, tags: str | None) -> None:
            await direct.execute(
                "INSERT INTO penstock_records"
                " (day, instance, sequence, kind, hash, public, started_us, outcome, team, tags)"
                " SELECT 7, 'a', $1::bigint + n, 1, '', '', n, 'complete', $2::text, $3::text::jsonb"
                " FROM generate_series(1, 500) AS n",
                first,
                team,
                tags,
            )

        empty = await sizes()
        await add(0, None, None)
        assert await sizes() == empty
        await add(500, "team_1", '{"env": "dev"}')
        assert all(size > before for size, before in zip(await sizes(), empty, strict=True))
    finally:
        await direct.close()
        postgres.drop(name)


def test_both_stores_have_the_same_migrations() -> None:
    def shape(migrations: tuple[Migration, ...]) -> list[tuple[str, str]]:
        return [(each.name, each.kind) for each in migrations]

    assert shape(read_migrations(FOLDER / "sqlite")) == shape(read_migrations(FOLDER / "postgres"))


def test_a_file_that_is_no_migration_is_refused(tmp_path: Path) -> None:
    folder = folder_of("sqlite", tmp_path, _0098_notes="CREATE TABLE x (y text);\n")
    with pytest.raises(ValueError, match="not a migration"):
        read_migrations(folder)
