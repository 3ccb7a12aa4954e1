"""What a store holds of records, read by plain SQL, and a slow check of it: the chain, the watermarks, the sums."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from .postgres import Postgres

RECORD, BEGIN = 1, 2
Value = str | None
Ask = Callable[[str], list[tuple[Value, ...]]]
"""Runs a query; values are texts, bytes in hex."""

_BYTES = ("hash", "digest", "private", "public")
_COLUMNS = ("instance", "sequence", "kind", *_BYTES, "number", "request_id", "outcome")
_SUMS = ("prompt_tokens", "completion_tokens", "cost_nanousd")


class Stored(NamedTuple):
    """One row of `penstock_records`."""

    instance: str
    sequence: int
    kind: int
    hash: bytes
    digest: bytes | None
    private: bytes | None
    public: bytes
    number: int | None
    request_id: str | None
    outcome: str | None


def in_sqlite(data_dir: Path) -> Ask:
    """Asks the file of a `data_dir`."""

    def ask(query: str) -> list[tuple[Value, ...]]:
        with closing(sqlite3.connect(data_dir / "penstock.sqlite", timeout=20.0)) as database:
            return [tuple(None if v is None else str(v) for v in row) for row in database.execute(query)]

    return ask


def in_postgres(server: Postgres, database: str) -> Ask:
    """Asks a database of the tests' server."""

    def ask(query: str) -> list[tuple[Value, ...]]:
        lines = server.sql(query, database).splitlines()
        return [tuple(value or None for value in line.split("|")) for line in lines]

    return ask


def stored(ask: Ask, hexed: str) -> list[Stored]:
    """All rows by instance and sequence. `hexed`: how this database writes bytes as hex, with `{}` for the column."""
    columns = ", ".join(hexed.format(name) if name in _BYTES else name for name in _COLUMNS)
    rows = ask(f"SELECT {columns} FROM penstock_records ORDER BY instance, sequence")  # noqa: S608 (names of ours)
    return [_row(dict(zip(_COLUMNS, row, strict=True))) for row in rows]


def _row(found: dict[str, Value]) -> Stored:
    hexed = {name: bytes.fromhex(text) if (text := found[name]) else None for name in _BYTES}
    numbers = {name: int(text) if (text := found[name]) else None for name in ("sequence", "kind", "number")}
    return Stored(**{**found, **hexed, **numbers})  # type: ignore[arg-type]


def requests(rows: Iterable[Stored]) -> list[Stored]:
    """Those that are requests."""
    return [row for row in rows if row.outcome is not None]


def chain_faults(rows: Sequence[Stored]) -> list[str]:
    """What is missing, doubled or changed, by the words of native/core/src/journal/entry.rs."""
    faults = []
    for instance, entries in groupby(rows, key=lambda row: row.instance):
        previous, expected = hashlib.sha256(b"penstock journal " + instance.encode()).digest(), 1
        for entry in entries:
            where = f"{instance} {entry.sequence}"
            if entry.sequence != expected:
                faults.append(f"{where}: expected {expected}")
            if entry.private is not None and hashlib.sha256(entry.private).digest() != entry.digest:
                faults.append(f"{where}: the private part was changed")
            if _hash(entry, previous) != entry.hash:
                faults.append(f"{where}: was changed, or does not follow the one before")
            previous, expected = entry.hash, entry.sequence + 1
    return faults


def _hash(entry: Stored, previous: bytes) -> bytes:
    parts = (
        bytes((entry.kind, entry.digest is not None, 0, 0)),
        len(entry.public).to_bytes(4, "little"),
        entry.sequence.to_bytes(8, "little"),
        previous,
        entry.public,
        entry.digest or b"",
    )
    return hashlib.sha256(b"".join(parts)).digest()


def stream_faults(rows: Sequence[Stored]) -> list[str]:
    """Streams that are recorded and interrupted too."""
    ended = {(row.instance, row.number) for row in rows if row.kind == RECORD}
    interrupted = [row for row in rows if row.kind == BEGIN and row.outcome is not None]
    return [
        f"{row.instance} {row.sequence}: {row.outcome}, and recorded too"
        for row in interrupted
        if (row.instance, row.number) in ended or row.outcome != "interrupted"
    ]


def sum_faults(ask: Ask) -> list[str]:
    """Where the sums of the hours are not those of the records."""
    sums = ", ".join(f"coalesce(sum({name}), 0)" for name in _SUMS)
    recorded = ask(f"SELECT coalesce(sum(count), 0), {sums} FROM penstock_records WHERE outcome IS NOT NULL")  # noqa: S608
    summed = ask(f"SELECT coalesce(sum(requests), 0), {sums} FROM penstock_usage")  # noqa: S608
    return [] if recorded == summed else [f"{('count', *_SUMS)}: records {recorded}, usage {summed}"]


def watermark_faults(ask: Ask, rows: Sequence[Stored], hexed: str) -> list[str]:
    """Watermarks that are not at the last row of their instance."""
    last = {row.instance: (row.sequence, row.hash.hex()) for row in rows}
    marks = ask(f"SELECT instance, sequence, {hexed.format('hash')} FROM penstock_shipped")  # noqa: S608
    found = {str(instance): (int(sequence or 0), str(hash).lower()) for instance, sequence, hash in marks}
    return [] if found == last else [f"watermarks {found}, last rows {last}"]
