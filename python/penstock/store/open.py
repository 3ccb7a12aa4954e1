"""From the configured address to a store; only the one that is asked for is imported."""

from __future__ import annotations

import os

from penstock.store.interface import StoreRefusedError
from penstock.store.migrate import FOLDER, read_migrations
from penstock.store.sql import SqlStore

SQLITE = "sqlite"
FILE = "penstock.sqlite"
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
