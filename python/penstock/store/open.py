"""From the configured address to a store; only the one that is asked for is imported."""

from __future__ import annotations

import os
import time

from penstock.store.asking import Asking
from penstock.store.database import Database
from penstock.store.forgetting import Forgetting
from penstock.store.interface import StoreRefusedError
from penstock.store.migrate import FOLDER, read_migrations
from penstock.store.records import Records
from penstock.store.sql import SqlStore

SQLITE = "sqlite"
FILE = "penstock.sqlite"
BATCH_S = 20.0
"""Within which a batch of records is taken, or the store is away."""
SCHEMES = ("postgresql://", "postgres://")


ASKING_S = 8.0
"""How long a question about records may take in a node, all of it: native waits 10 s for the answer."""
ALONE_S = 60.0
"""The same where nobody else waits."""
ASKING_POOL = 2


def make_store(url: str, data_dir: str, *, password_file: str | None = None, pool: int = 4) -> SqlStore:
    """The store of a configuration, not opened yet. `pool` bounds the connections of PostgreSQL."""
    if url == SQLITE:
        from penstock.store.sqlite import SqliteDatabase

        return SqlStore(SqliteDatabase(os.path.join(data_dir, FILE)), read_migrations(FOLDER / "sqlite"))
    if url.lower().startswith(SCHEMES):
        from penstock.store.postgres import PostgresDatabase

        database = PostgresDatabase(url, password_file=password_file, pool=pool)
        return SqlStore(database, read_migrations(FOLDER / "postgres"))
    raise _unknown()


def make_asking(url: str, data_dir: str, *, password_file: str | None = None, call_s: float = ALONE_S) -> Asking:
    """The same store, to ask it about records, over connections of its own that open with the first question."""
    return Asking(_own_database(url, data_dir, password_file, call_s))


def make_forgetting(url: str, data_dir: str, *, password_file: str | None = None) -> Forgetting:
    """The same store, to forget in it."""
    return Forgetting(_own_database(url, data_dir, password_file, ALONE_S))


def _own_database(url: str, data_dir: str, password_file: str | None, call_s: float) -> Database:
    if url == SQLITE:
        from penstock.store.sqlite import SqliteDatabase

        return SqliteDatabase(os.path.join(data_dir, FILE), call_s=call_s, is_prepared=True)
    if url.lower().startswith(SCHEMES):
        from penstock.store.postgres import PostgresDatabase

        return PostgresDatabase(url, password_file=password_file, pool=ASKING_POOL, call_s=call_s)
    raise _unknown()


def _unknown() -> StoreRefusedError:
    return StoreRefusedError("store: expected sqlite or postgresql://user@host/database")


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
