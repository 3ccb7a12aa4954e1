"""Numbered migrations: which were made, which are missing, and making them once however many nodes start together.

A release brings at most one migration. It first widens the schema (`-- expand:`), and only a later one takes away what
nothing uses any more (`-- contract:`); so a release runs on the schema of the one before it and of the one after it.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from msgspec import Struct

from penstock.store.database import PATIENT_S, Database, Session
from penstock.store.interface import StoreHeldError, StoreRefusedError
from penstock.store.record_statements import LOCK_BRIEFLY

FOLDER = Path(__file__).parent / "migrations"
MOST_PAUSE_S = 5.0
_NAME = re.compile(r"\d{4}_[a-z0-9_]+\Z")
_KIND = re.compile(r"-- (expand|contract): ")
_TABLE = """\
CREATE TABLE IF NOT EXISTS penstock_migrations (
    name text PRIMARY KEY NOT NULL,
    kind text NOT NULL,
    checksum text NOT NULL,
    applied_us bigint NOT NULL
)"""
_ADD = "INSERT INTO penstock_migrations (name, kind, checksum, applied_us) VALUES ($1, $2, $3, $4)"
_APPLIED = "SELECT name, kind, checksum FROM penstock_migrations"


class Migration(Struct, frozen=True):
    """A file of SQL. What was applied once never changes."""

    name: str
    kind: str
    checksum: str
    """SHA-256 of the file in hex."""
    sql: str


class Applied(Struct, frozen=True):
    """What the schema says of a migration."""

    name: str
    kind: str
    checksum: str


def read_migrations(folder: Path) -> tuple[Migration, ...]:
    """The migrations of a folder in their order. Raises ValueError for a file that is none."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        content = path.read_bytes()
        kind = _KIND.match(content.decode())
        if not _NAME.match(path.stem) or kind is None:
            raise ValueError(f"{path}: not a migration: its first line says `-- expand: …` or `-- contract: …`")
        found.append(Migration(path.stem, kind[1], hashlib.sha256(content).hexdigest(), content.decode()))
    return tuple(found)


async def bring_up(
    database: Database,
    ours: Sequence[Migration],
    *,
    migrate: bool,
    now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
) -> list[str]:
    """Applies what is missing; the names of what this call applied. Raises `StoreRefusedError`."""

    async def look(session: Session) -> list[Migration]:
        return missing(ours, await _applied(database, session), database.place)

    pending = await database.read(look)
    if pending and not migrate:
        names = ", ".join(each.name for each in pending)
        raise StoreRefusedError(
            f"{database.place}: the schema lacks {names}: run `penstock migrate`, or set store.auto_migrate: true"
        )
    made = []
    for migration in pending:

        async def apply(session: Session, migration: Migration = migration) -> bool:
            if database.flavour.lock is not None:
                await session.fetch(database.flavour.lock)
                await session.fetch(LOCK_BRIEFLY)
            await session.script(_TABLE)
            if migration not in missing(ours, await _applied(database, session), database.place):
                return False  # another node was faster
            await session.script(migration.sql)
            await session.fetch(_ADD, migration.name, migration.kind, migration.checksum, now_us())
            return True

        if await _when_free(lambda apply=apply: database.write(apply, patient=True)):  # type: ignore[misc]
            made.append(migration.name)
    return made


async def _when_free(work: Callable[[], Awaitable[bool]]) -> bool:
    """Tries until nobody holds the tables. Raises `StoreHeldError` after `PATIENT_S`."""
    until, pause_s = time.monotonic() + PATIENT_S, 0.2
    while True:
        try:
            return await work()
        except StoreHeldError:
            if time.monotonic() > until:
                raise
        # Those who waited behind this one go on meanwhile.
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, MOST_PAUSE_S)


def missing(ours: Sequence[Migration], applied: Sequence[Applied], place: str) -> list[Migration]:
    """Those of `ours` that were not applied. Raises `StoreRefusedError` for a schema on which we cannot run."""
    there = {each.name: each for each in applied}
    pending = [each for each in ours if each.name not in there]
    for each in ours:
        if each.name in there and there[each.name].checksum != each.checksum:
            raise StoreRefusedError(
                f"{place}: migration {each.name} is not the one that made this schema: its checksum differs; "
                "run the release that made it, or restore the file"
            )
    names = {each.name for each in ours}
    newer = sorted(each.name for each in applied if each.name not in names)
    newest = max(names, default="")
    if any(name < newest for name in newer) or any(name > each.name for each in pending for name in there):
        raise StoreRefusedError(f"{place}: migrations were made out of order ({', '.join(sorted(there))}): restore it")
    if len(newer) > 1 or any(there[name].kind != "expand" for name in newer):
        raise StoreRefusedError(
            f"{place}: the schema is newer than this release can run on ({', '.join(newer)}): run a newer release"
        )
    return pending


async def _applied(database: Database, session: Session) -> list[Applied]:
    if not await session.fetch(database.flavour.migrations_known):
        return []
    return [Applied(*row) for row in await session.fetch(_APPLIED)]
