"""The PostgreSQL of a side whose records and keys go there: on the disk, synced as in earnest."""

import csv
import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from bench.machine import BenchError, tree
from penstock.store.open import FILE
from tests.support import server
from tests.support.postgres import Postgres as Server

# Whatever the keys of a side consist of; both kinds of store have the same columns.
TABLES = ("penstock_teams", "penstock_keys", "penstock_secrets")


class Postgres:
    """A server with one database; up when it is made. `last`: it takes only time that nothing else wants, as it stands
    for another machine.
    """

    def __init__(self, *, last: bool) -> None:
        self._server = Server(durable=True)
        try:
            self._server.__enter__()
            self._database = self._server.create()
        except AssertionError as error:
            raise BenchError(f"PostgreSQL: {error}") from None
        if last:
            # Whoever it starts from now on for a connection has the same.
            for pid in tree(self._server.pid):
                with suppress(ProcessLookupError):
                    os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))

    @property
    def url(self) -> str:
        """Where it is."""
        return self._server.url(self._database)

    def fill(self, data_dir: Path) -> None:
        """Copies the keys of an SQLite store into a database that has the schema."""
        with closing(sqlite3.connect(data_dir / FILE)) as source:
            for table in TABLES:
                self._copy(source, table)
            (version,) = source.execute("SELECT version FROM penstock_state").fetchone()
        self._server.sql(f"UPDATE penstock_state SET version = {version:d}", self._database)  # noqa: S608 (a number)

    def stop(self) -> None:
        """Ends it; nothing is left."""
        self._server.__exit__(None, None, None)

    def _copy(self, source: sqlite3.Connection, table: str) -> None:
        rows = source.execute(f"SELECT * FROM {table}")  # noqa: S608 (a name of ours)
        columns = ", ".join(name for name, *_ in rows.description)
        place = server.make_folder("stock")
        file = place / "rows.csv"
        try:
            with file.open("w", newline="") as out:
                csv.writer(out).writerows([r"\N" if value is None else value for value in row] for row in rows)
            server.give(file)
            copy = f"\\copy {table} ({columns}) FROM '{file}' WITH (FORMAT csv, NULL '\\N')"
            self._server.sql(copy, self._database)
        finally:
            shutil.rmtree(place)
