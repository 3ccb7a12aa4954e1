"""What a store is asked about records: pages of them, sums, watermarks, and entries to verify. It writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from penstock.audit.choice import Choice
from penstock.store import asking_statements, record_statements, usage_statements
from penstock.store.asking_statements import Place
from penstock.store.database import Database, Session
from penstock.store.records import Watermark, read_watermark
from penstock.store.storable import is_storable
from penstock.store.usage_statements import Question

AT_ONCE = 1_000
"""Rows of one page; names that one statement asks for."""


class Stored(NamedTuple):
    """A row that is a request: its entry, as the journal had it."""

    instance: str
    sequence: int
    kind: int
    public: bytes
    private: bytes | None
    """Salt (16 bytes) and private part."""


Marks = Mapping[str, Watermark]
"""By their instances."""
Sum = tuple[int, tuple[str | int, ...], tuple[int, ...]]
"""Hour, day or month; the fields of `by`, where '' and the status 0 are not known; the numbers."""


class Asking:
    """Asks one store over connections of its own, so that nobody who uses a key waits for a long question.

    Every method may raise `StoreError`; one that takes longer than the database's `call_s` is ended.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_open = False

    @property
    def place(self) -> str:
        """Where it is, for messages; without a secret."""
        return self._database.place

    async def close(self) -> None:
        """Lets go of every connection; the next question opens it again."""
        self._is_open = False
        await self._database.close()

    async def has_records(self) -> bool:
        """Whether the schema has the tables of records: a file may be of an older release."""
        await self._ready()
        return bool(await self._database.ask(self._database.flavour.records_known))

    async def marks(self, instances: Collection[str]) -> Marks:
        """The watermarks of these instances; of those that the store does not know there is none."""
        await self._ready()
        return await self._database.read(lambda session: _marks(session, instances))

    async def all_marks(self) -> Marks:
        """The watermarks of all instances that the store knows."""
        return _by_instance(await self._ask(record_statements.ALL_WATERMARKS))

    async def page(self, choice: Choice, newest: bool, after: Place | None, limit: int) -> Sequence[Stored]:
        """At most `limit` records that are chosen, in the order of (start, instance, sequence), behind `after`."""
        if not all(map(is_storable, choice.texts())):
            return ()
        sql, values = asking_statements.page(choice, newest, after, limit, self._database.flavour)
        return [Stored(*row) for row in await self._ask(sql, *values)]

    async def sums(self, wanted: Question, limit: int, instances: Collection[str]) -> tuple[Sequence[Sum], Marks]:
        """At most `limit` sums, and the watermarks at the same moment."""
        await self._ready()
        texts = (wanted.key, wanted.team, wanted.model, wanted.target, *(wanted.tag or ()), *wanted.by)
        possible = all(text is None or is_storable(text) for text in texts)
        sql, values = usage_statements.sums(wanted, limit, self._database.flavour)
        fields = 1 + len(wanted.by)

        async def look(session: Session) -> tuple[Sequence[Sum], Marks]:
            rows = await session.fetch(sql, *values) if possible else ()
            found = [(row[0], tuple(row[1:fields]), tuple(row[fields:])) for row in rows]
            return found, await _marks(session, instances)

        return await self._database.read(look)

    async def spend(self, key: str, today: int, month: int) -> tuple[int, ...]:
        """Requests, tokens, cost and unpriced of a key from the hour `today` on, then the same from `month` on."""
        sql, values = usage_statements.spend(key, today, month, self._database.flavour)
        return tuple((await self._ask(sql, *values))[0])

    async def instances(self) -> Sequence[str]:
        """All that have rows, in the order of their names, which is that of their starts."""
        return [row[0] for row in await self._ask(asking_statements.INSTANCES)]

    async def entries(self, instance: str, sequence: int) -> Sequence[Sequence[Any]]:
        """The next `AT_ONCE` rows of an instance from a sequence number on, as `asking_statements.CHECKED` says."""
        return await self._ask(asking_statements.ENTRIES, instance, sequence, AT_ONCE)

    async def rows_of(self, instance: str, sequences: Collection[int]) -> Sequence[tuple[Stored, str | None]]:
        """The rows of these sequence numbers that are there, in their order, each with its outcome."""
        wanted = sorted(sequences)
        found: list[tuple[Stored, str | None]] = []
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            rows = await self._ask(asking_statements.rows_of(len(some)), instance, *some)
            found += [(Stored(*row[:-1]), row[-1]) for row in rows]
        return found

    async def _ask(self, sql: str, *values: Any) -> Sequence[Sequence[Any]]:
        """One statement in a transaction: the server bounds that, too."""
        await self._ready()
        return await self._database.read(lambda session: session.fetch(sql, *values))

    async def _ready(self) -> None:
        if not self._is_open:
            await self._database.open()
            self._is_open = True


def read_begun(mark: Watermark) -> list[int]:
    """The sequence numbers of the streams that had begun by a watermark, and not ended."""
    return [int.from_bytes(mark.begun[at + 8 : at + 16]) for at in range(0, len(mark.begun), 16)]


async def _marks(session: Session, instances: Collection[str]) -> Marks:
    names = sorted(instances)
    rows: list[Sequence[Any]] = []
    for start in range(0, len(names), AT_ONCE):
        some = names[start : start + AT_ONCE]
        rows += await session.fetch(record_statements.watermarks(len(some)), *some)
    return _by_instance(rows)


def _by_instance(rows: Sequence[Sequence[Any]]) -> Marks:
    return {mark.instance: mark for mark in map(read_watermark, rows)}
