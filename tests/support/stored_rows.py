"""Entries of a journal as rows of a store, made and written as the shipper does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from penstock.audit.record import BEGIN, RECORD, Begin, Record, Usage
from penstock.audit.stored import Entry, columns_begun, columns_of, hash_of
from penstock.store.database import Database, Session
from penstock.store.record_statements import partition
from penstock.store.usage_statements import NUMBERS
from penstock.times import DAY_US, HOUR_US

COLUMNS = (
    "day, instance, sequence, kind, hash, digest, private, public, number, started_us, count, request_id, key_id, team,"
    " model, target, status, outcome, error, tags, prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens,"
    " reasoning_tokens, audio_tokens, image_tokens, cost_nanousd, total_us"
)
REFUSALS = (
    (403, "model_not_allowed"),
    (403, "model_unpriced"),
    (400, "dialect_not_supported"),
    (400, "invalid_request"),
    (400, "request_exceeds_limit"),
    (503, "store_unavailable"),
)
"""Of requests that name a model and that no limit counts."""
KEYS = ("hour", "key_id", "team", "model", "target", "status", "tags")
RAISE = (
    f"UPDATE penstock_usage SET {', '.join(f'{name} = {name} + ${n}' for n, name in enumerate(NUMBERS, 8))}"  # noqa: S608
    f" WHERE {' AND '.join(f'{name} = ${n}' for n, name in enumerate(KEYS, 1))} RETURNING hour"
)
SALT = bytes(range(16))


def record(number: int, started_us: int, **fields: Any) -> Record:
    """A request that was answered; what is not said is not known."""
    usual: dict[str, Any] = {
        "form": 1,
        "number": number,
        "count": 1,
        "request_id": f"req_{number}",
        "upstream_request_id": None,
        "trace_id": None,
        "started_us": started_us,
        "key_id": None,
        "team": None,
        "dialect": "openai",
        "api": "chat",
        "method": "POST",
        "path": "/v1/chat/completions",
        "model": "fast",
        "target": "up/real",
        "status": 200,
        "outcome": "complete",
        "error": None,
    }
    return Record(**usual | fields)


def begin(number: int, started_us: int) -> Begin:
    """A stream that began."""
    tags = {"env": "dev"}
    return Begin(1, number, f"req_{number}", started_us, "k", None, "openai", "chat", "fast", "up/real", tags)


def used(prompt: int, completion: int) -> Usage:
    """Tokens of prompt and answer."""
    return Usage(prompt, completion, 0, 0, 0, 0, 0)


class Row(Struct):
    """One row of `penstock_records`, for tests to change."""

    day: int
    instance: str
    sequence: int
    kind: int
    hash: bytes
    digest: bytes | None
    private: bytes | None
    public: bytes
    columns: tuple[Any, ...]

    @property
    def values(self) -> tuple[Any, ...]:
        """In the order of `COLUMNS`."""
        tags = self.columns[11]
        shown = None if tags is None else msgspec.json.encode(tags).decode()
        columns = (*self.columns[:11], shown, *self.columns[12:])
        return (
            self.day, self.instance, self.sequence, self.kind, self.hash, self.digest, self.private, self.public,
            *columns,
        )  # fmt: skip


class Chain:
    """The journal of one instance."""

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self.rows: list[Row] = []
        self.usage: list[tuple[Any, ...]] = []
        self._hash = hashlib.sha256(b"penstock journal " + instance.encode()).digest()

    def add(self, what: Record | Begin, private: tuple[str | None, ...] | None = None) -> Row:
        """Appends the entry of a record or a begin."""
        kind = RECORD if isinstance(what, Record) else BEGIN
        columns = columns_of(what) if isinstance(what, Record) else columns_begun(what, False)
        return self._add(kind, msgspec.msgpack.encode(what), columns, what.started_us // DAY_US, private)

    def add_other(self, kind: int, *values: object) -> Row:
        """Appends an entry that is no request."""
        return self._add(kind, msgspec.msgpack.encode(list(values)), (None,) * 21, self.rows[-1].day, None)

    def _add(self, kind: int, public: bytes, columns: tuple[Any, ...], day: int, private: Any) -> Row:
        sealed = None if private is None else SALT + msgspec.msgpack.encode(list(private))
        digest = None if sealed is None else hashlib.sha256(sealed).digest()
        day = max(day, self.rows[-1].day if self.rows else day)
        sequence = len(self.rows) + 1
        self._hash = hash_of(Entry(day, sequence, kind, b"", digest, sealed, public, ()), self._hash)
        row = Row(day, self.instance, sequence, kind, self._hash, digest, sealed, public, columns)
        self.rows.append(row)
        return row

    def interrupt(self, row: Row) -> None:
        """What happens to a begin once its process is gone."""
        row.columns = (*row.columns[:2], 1, *row.columns[3:8], 200, "interrupted", *row.columns[10:])


async def ship(database: Database, chain: Chain, *, upto: int | None = None, ended: bool = False) -> None:
    """Writes the rows, the sums and the watermark of a journal, as far as `upto`; positions are sequence numbers."""
    rows = chain.rows[:upto]

    async def work(session: Session) -> None:
        listing = database.flavour.partitions
        if listing is not None:
            there = {name for (name,) in await session.fetch(listing)}
            for day in sorted({row.day for row in rows}):
                name = f"penstock_records_{day}"
                if name not in there:
                    await session.script(partition(name, day))
        for row in rows:
            await insert(session, "penstock_records", COLUMNS, row.values)
        for sums in usage_of(msgspec.msgpack.decode(row.public, type=Record) for row in rows if row.kind == RECORD):
            if not await session.fetch(RAISE, *sums):
                await insert(session, "penstock_usage", ", ".join((*KEYS, *NUMBERS)), sums)
        last = rows[-1]
        mark = (chain.instance, 1, last.sequence, last.sequence, last.hash, last.day, int(ended), 0)
        columns = "instance, segment, byte_offset, sequence, hash, day, ended, at_us"
        await insert(session, "penstock_shipped", columns, mark)

    await database.write(work, patient=True)


async def insert(session: Session, table: str, columns: str, values: Sequence[Any]) -> None:
    places = ", ".join(f"${n}" for n in range(1, len(values) + 1))
    await session.fetch(f"INSERT INTO {table} ({columns}) VALUES ({places})", *values)  # noqa: S608


def usage_of(records: Iterable[Record]) -> list[tuple[Any, ...]]:
    """Rows of `penstock_usage`."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for each in records:
        tags = msgspec.json.encode(each.tags or {}, order="sorted").decode()
        texts = (each.key_id or "", each.team or "", each.model or "", each.target or "")
        key = (each.started_us // HOUR_US, *texts, each.status or 0, tags)
        tokens = [getattr(each.usage, name) if each.usage else 0 for name in NUMBERS[1:8]]
        is_unpriced = each.cost_nanousd is None and (each.usage is not None or each.unpriced == 1)
        numbers = [each.count, *tokens, each.cost_nanousd or 0, int(is_unpriced)]
        found[key] = [a + b for a, b in zip(found.get(key, [0] * len(numbers)), numbers, strict=True)]
    return [(*key, *numbers) for key, numbers in found.items()]
