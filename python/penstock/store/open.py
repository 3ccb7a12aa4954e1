"""From the configured address to a store; only the one that is asked for is imported."""

from __future__ import annotations

import os
import time

from penstock.store.interface import StoreRefusedError
from penstock.store.migrate import FOLDER, read_migrations
from penstock.store.records import Records
from penstock.store.sql import SqlStore

SQLITE = "sqlite"
FILE = "penstock.sqlite"
BATCH_S = 20.0
"""Within which a batch of records is taken, or the store is away."""
SCHEMES = ("postgresql://", "postgres://")


def make_store(url: str, data_dir: str, *, password_file: str | None = None, pool: int = 4) -> SqlStore:
    """The store of a configuration, not opened yet. `pool` bounds the connections of PostgreSQL."""
    if url == SQLITE:
        from penstock.store.sqlite import SqliteDatabase

        return SqlStore(SqliteDatabase(os.path.join(data_dir, FILE)), read_migrations(FOLDER / "sqlite"))
    if url.lower().startswith(SCHEMES):
        from penstock.store.postgres import PostgresDatabase

        database = PostgresDatabase(url, password_file=password_file, pool=pool)
        return SqlStore(database, read_migrations(FOLDER / "postgres"))
    raise StoreRefusedError("store: expected sqlite or postgresql://user@host/database")


def make_records(url: str, store: SqlStore, *, password_file: str | None = None) -> Records:
    """The records of the store, which has been made from the same address and brings the schema. PostgreSQL gets a
    connection of its own for them: a batch must not keep keys waiting. SQLite has one that writes, in line with itself.
    """
    if url == SQLITE:
        return Records(store.database, _now_us, shared=True)
    from penstock.store.postgres import PostgresDatabase

    return Records(PostgresDatabase(url, password_file=password_file, pool=1, call_s=BATCH_S), _now_us)


def _now_us() -> int:
    return time.time_ns() // 1000
