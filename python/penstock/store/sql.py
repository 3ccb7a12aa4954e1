"""The store's rules on top of SQL: what is checked, in which order, and what one change writes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar, cast

import msgspec
from msgspec.structs import replace

from penstock.keys.model import AdminToken, Change, Key, Row, Secret, Team
from penstock.store import statements
from penstock.store.database import Database, Session, Undo, Work
from penstock.store.interface import ConflictError, Delta, Filter, Page, StoreAwayError, StoreRefusedError, Watch
from penstock.store.migrate import Migration, bring_up
from penstock.store.rows import (
    KEYS,
    SHAPES,
    name_hash,
    read_change,
    read_row,
    secret_rows,
    tombstone,
    write_change,
)
from penstock.store.storable import check_storable, is_storable

RowT = TypeVar("RowT", Key, Team, AdminToken)
T = TypeVar("T")
MOST = 2**63 - 1
AT_ONCE = 5_000
"""Rows that one transaction touches or purges, so that it never holds others up for long."""
IDS_AT_ONCE = 1_000
"""Ids that one statement asks for: databases bound its values."""


class _Made(Undo):
    """The change was made by an earlier call: what this one did is undone."""

    def __init__(self, version: int) -> None:
        self.version = version


class SqlStore:
    """A `Store` in a SQL database. Every change stands in line for the one counter row, so that versions become
    visible in their order and what a change has checked holds until it is committed."""

    def __init__(self, database: Database, migrations: Sequence[Migration]) -> None:
        self._database = database
        self._migrations = migrations
        self._id: str | None = None
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._id else "not open"
        return f"SqlStore({self.place!r}, {state})"

    @property
    def place(self) -> str:
        """Where it is, for messages; without a secret."""
        return self._database.place

    @property
    def database(self) -> Database:
        """What it is in."""
        return self._database

    @property
    def id(self) -> str:
        if self._id is None:
            raise StoreAwayError(f"{self.place} has not been opened yet")
        return self._id

    async def open(self, *, migrate: bool) -> list[str]:
        self._closed = False
        await self._database.open()
        made = await bring_up(self._database, self._migrations, migrate=migrate)
        self._id, *_ = await self._database.read(self._state)
        return made

    async def close(self) -> None:
        self._closed = True
        await self._database.close()

    async def changed_since(self, version: int, limit: int) -> Delta:
        self._check_open()
        # Nothing new, nearly always: for that a statement does.
        self._id, newest, change = self._state_of(await self._database.ask(statements.STATE))
        if newest <= version:
            return Delta(newest, (), False, change)

        async def look(session: Session) -> tuple[str, Delta]:
            id, newest, change = await self._state(session)
            if newest <= version:
                return id, Delta(newest, (), False, change)
            rows: list[Row] = []
            for shape in SHAPES.values():
                sql = statements.written_after(shape, self._database.flavour)
                page = await session.fetch_page(sql, statements.columns(shape), version, limit + 1)
                rows += [read_row(shape, each) for each in page]
            rows.sort(key=lambda row: row.version)
            if len(rows) <= limit:
                return id, Delta(newest, tuple(rows), False, change)
            return id, Delta(rows[limit - 1].version, tuple(rows[:limit]), True)

        limit = max(1, limit)
        self._id, delta = await self._read(look)
        return delta

    async def save(self, row: Row, expected: int | None, change: Change) -> int:
        check_storable(row, change)

        async def make(session: Session) -> int:
            ((version,),) = await session.fetch(statements.NEXT_VERSION)
            if made := await session.fetch(statements.CHANGE_MADE, change.id):
                raise _Made(made[0][0])
            await self._check(session, row, expected)
            deleted_us = await self._deleted_us(session, change) if row.state == "deleted" else None
            shape = SHAPES[type(row)]
            written = replace(row if deleted_us is None else tombstone(row), version=version)
            await session.fetch(statements.put(shape), *shape.write(written, deleted_us))
            if isinstance(row, Key):
                await self._put_secrets(session, row)
            await session.fetch(statements.ADD_CHANGE, *write_change(change, version))
            return cast(int, version)

        return await self._make(make)

    async def record(self, change: Change) -> int:
        check_storable(None, change)

        async def make(session: Session) -> int:
            ((version,),) = await session.fetch(statements.NEXT_VERSION)
            if made := await session.fetch(statements.CHANGE_MADE, change.id):
                raise _Made(made[0][0])
            await session.fetch(statements.ADD_CHANGE, *write_change(change, version))
            return cast(int, version)

        return await self._make(make)

    async def replace_hash(self, key: str, generation: int, old: str, new: str) -> bool:
        if not all(map(is_storable, (key, old, new))):
            return False

        async def exchange(session: Session) -> bool:
            if await session.fetch(statements.REPLACE_HASH, key, generation, old, new):
                return True
            # A call whose connection was cut behind the commit comes here a second time. Salts make equal hashes ours.
            return bool(await session.fetch(statements.HAS_HASH, key, generation, new))

        return await self._write(exchange)

    async def touch(self, used_us: Mapping[str, int]) -> None:
        known = [(id, at) for id, at in used_us.items() if is_storable(id)]
        for start in range(0, len(known), AT_ONCE):
            times = msgspec.json.encode(dict(known[start : start + AT_ONCE])).decode()

            async def raise_them(session: Session, times: str = times) -> None:
                await session.fetch(self._database.flavour.touch, times)

            await self._write(raise_them)

    async def get(self, kind: type[RowT], id: str) -> RowT | None:
        return await self._one(kind, "r.id = $1", id) if is_storable(id) else None

    async def get_many(self, kind: type[RowT], ids: Collection[str]) -> Mapping[str, RowT]:
        shape, wanted = SHAPES[kind], sorted({id for id in ids if is_storable(id)})

        async def look(session: Session) -> dict[str, RowT]:
            found: list[Row] = []
            for start in range(0, len(wanted), IDS_AT_ONCE):
                some = wanted[start : start + IDS_AT_ONCE]
                sql = statements.of_ids(shape, self._database.flavour, len(some))
                found += [read_row(shape, each) for each in await session.fetch(sql, *some)]
            return {row.id: cast(RowT, row) for row in found}

        return await self._read(look) if wanted else {}

    async def find_team(self, name: str) -> Team | None:
        return await self._one(Team, "r.name_hash = $1", name_hash(name)) if is_storable(name) else None

    async def list(self, kind: type[RowT], filter: Filter, after: str | None, limit: int) -> Page:
        asked = [after, filter.team, filter.state, filter.owner, filter.name, *(filter.tag or ())]
        if not all(text is None or is_storable(text) for text in asked):
            return Page((), None)
        limit = max(1, limit)
        sql, values = statements.listing(kind, filter, after, limit + 1, self._database.flavour)

        async def look(session: Session) -> Page:
            rows = tuple(read_row(SHAPES[kind], each) for each in await session.fetch(sql, *values))
            return Page(rows[:limit], rows[limit - 1].id if len(rows) > limit else None)

        return await self._read(look)

    async def changes(self, subject: str | None, before: int | None, limit: int) -> Sequence[Change]:
        if subject is not None and not is_storable(subject):
            return []
        sql, values = statements.changes(subject, None if before is None else min(before, MOST), max(1, limit))

        async def look(session: Session) -> Sequence[Change]:
            return [read_change(each) for each in await session.fetch(sql, *values)]

        return await self._read(look)

    async def now_us(self) -> int:
        self._check_open()
        ((now_us,),) = await self._database.ask(self._database.flavour.now_us)
        return int(now_us)

    async def purge(self, before_us: int) -> int:
        count = 0
        for shape in SHAPES.values():

            async def remove(session: Session, sql: str = statements.purge(shape)) -> int:
                return len(await session.fetch(sql, before_us, AT_ONCE))

            removed = AT_ONCE
            while removed == AT_ONCE:
                removed = await self._write(remove)
                count += removed
        return count

    async def watch(self, woken: Callable[[], None]) -> Watch:
        return await self._database.watch(woken)

    async def _read(self, work: Work[T]) -> T:
        self._check_open()
        return await self._database.read(work)

    async def _write(self, work: Work[T], *, tell: bool = False) -> T:
        self._check_open()
        return await self._database.write(work, tell=tell)

    async def _make(self, work: Work[int]) -> int:
        """A change; the version that it has, perhaps since an earlier call."""
        try:
            return await self._write(work, tell=True)
        except _Made as made:
            return made.version

    def _check_open(self) -> None:
        if self._closed or self._id is None:
            raise StoreAwayError(f"{self.place} {'is closed' if self._closed else 'has not been opened yet'}")

    async def _state(self, session: Session) -> tuple[str, int, str | None]:
        return self._state_of(await session.fetch(statements.STATE))

    def _state_of(self, rows: Sequence[Sequence[Any]]) -> tuple[str, int, str | None]:
        if len(rows) != 1:
            raise StoreRefusedError(f"{self.place}: penstock_state has {len(rows)} rows instead of one: restore it")
        id, version, change = rows[0]
        return id, version, change

    async def _deleted_us(self, session: Session, change: Change) -> int:
        """From when on a tombstone ages: a clock of a deleter that is behind must not make it old."""
        ((now_us,),) = await session.fetch(self._database.flavour.now_us)
        return max(change.at_us, int(now_us))

    async def _one(self, kind: type[RowT], condition: str, value: str) -> RowT | None:
        shape = SHAPES[kind]
        sql = f"{statements.select(shape, self._database.flavour)} WHERE {condition} AND r.state <> 'deleted'"

        self._check_open()
        rows = await self._database.ask(sql, value)
        return cast("RowT | None", read_row(shape, rows[0])) if rows else None

    async def _check(self, session: Session, row: Row, expected: int | None) -> None:
        """Raises `ConflictError`. The counter is held: nothing that is read here changes before the commit."""
        shape = SHAPES[type(row)]
        found = await session.fetch(f"SELECT version, state FROM {shape.table} WHERE id = $1", row.id)  # noqa: S608
        live = found[0][0] if found and found[0][1] != "deleted" else None
        if expected is None and live is not None:
            raise ConflictError("exists", f"{row.id} exists already")
        if expected != live or (live is None and row.state == "deleted"):
            raise ConflictError("changed", f"{row.id} was changed or deleted meanwhile: read it again")
        if isinstance(row, Key) and row.state != "deleted" and row.team is not None:
            team = await session.fetch(statements.TEAM_STATE, row.team)
            if not team or team[0][0] == "deleted":
                raise ConflictError("team_missing", f"there is no team {row.team}")
        if isinstance(row, Team):
            await self._check_team(session, row)

    async def _check_team(self, session: Session, team: Team) -> None:
        if team.state == "deleted":
            if await session.fetch(statements.TEAM_HAS_KEYS, team.id):
                raise ConflictError("team_has_keys", f"team {team.id} has keys: move or delete them first")
            return
        holder = await session.fetch(statements.TEAM_BY_NAME, name_hash(team.name))
        if holder and holder[0][0] != team.id:
            raise ConflictError("name_taken", f"another team is called {team.name!r}")

    async def _put_secrets(self, session: Session, key: Key) -> None:
        """A generation that is there keeps its hash: `replace_hash` may have put a better one than the writer saw."""
        if key.state == "deleted":
            await session.fetch(statements.DROP_HASHES, key.id)
            return
        sql = f"SELECT {self._database.flavour.secrets} FROM {KEYS.table} AS r WHERE r.id = $1"  # noqa: S608
        ((text,),) = await session.fetch(sql, key.id)
        there = secret_rows(text)
        wanted: dict[int, Secret] = {secret.generation: secret for secret in key.secrets}
        for generation in there.keys() - wanted.keys():
            await session.fetch(statements.DROP_HASH, key.id, generation)
        for generation, secret in wanted.items():
            if generation not in there:
                await session.fetch(statements.ADD_HASH, key.id, generation, secret.hash, secret.until_us)
            elif there[generation][1] != secret.until_us:
                await session.fetch(statements.END_HASH, key.id, generation, secret.until_us)
