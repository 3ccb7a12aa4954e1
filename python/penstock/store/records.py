"""Records in the store: rows go in together with how far their journal has come, and with the sums of their hours."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from penstock.instance import day_of
from penstock.store import record_statements as statements
from penstock.store.database import Database, Packed, Session, Undo
from penstock.store.wiping import wipe

AT_ONCE = 5_000
"""Rows that one transaction deletes, so that it never holds others up for long."""
BYTES_AT_ONCE = 8 << 20
"""The same of what stands in them, about: prompts and answers are long."""
NAMES_AT_ONCE = 500
"""Names or numbers in one statement: databases bound its values."""
_PARTITION = "penstock_records_"


class Watermark(Struct, frozen=True, kw_only=True):
    """How far the journal of an instance is in the store."""

    instance: str
    segment: int
    offset: int
    """The position behind the last entry that is a row."""
    sequence: int
    hash: bytes
    day: int
    """Of that entry."""
    ended: bool = False
    """Its process is gone, and nothing more comes."""
    begun: bytes = b""
    """Streams whose record has not come: see `_native.Rows`."""


class _MovedOn(Undo):
    """Somebody else has shipped from the same place: what this call did is undone."""


class Records:
    """Every method may raise `StoreError`; what is not one transaction goes piece by piece."""

    def __init__(self, database: Database, now_us: Callable[[], int], *, shared: bool = False) -> None:
        """`shared`: the database is somebody else's to open and close."""
        self._database, self._now_us, self._shared = database, now_us, shared

    async def watermarks(self, instances: Collection[str]) -> Mapping[str, Watermark]:
        """Those that the store has."""
        wanted = sorted(instances)

        async def look(session: Session) -> dict[str, Watermark]:
            found: list[Sequence[Any]] = []
            for some in _pieces(wanted):
                found += await session.fetch(statements.watermarks(len(some)), *some)
            return {row[0]: read_watermark(row) for row in found}

        return await self._database.read(look) if wanted else {}

    async def ship(
        self,
        rows: Packed | None,
        before: Watermark | None,
        after: Watermark,
        *,
        days: Collection[int] = (),
        interrupted: Sequence[int] = (),
    ) -> bool:
        """Takes rows, and moves the watermark from `before` to `after`, both or neither. False: it is not at `before`
        any more, and nothing was changed.

        `days` are those of the rows. Streams of the sequence numbers `interrupted` become requests that ended so.
        """

        async def move(session: Session) -> None:
            await self._make_days(session, days)
            moved = await session.fetch(*_move(before, after, self._now_us()))
            if not moved:
                raise _MovedOn
            if rows is not None:
                await session.copy("penstock_records", statements.COLUMNS, rows)
                first = before.sequence if before else 0
                range_of = (after.instance, first, after.sequence, min(days, default=0), max(days, default=0))
                await session.fetch(statements.sum_range(self._database.flavour), *range_of)
            for some in _pieces(interrupted):
                await self._interrupt(session, after, some)

        try:
            await self._database.write(move)
        except _MovedOn:
            return False
        return True

    async def _interrupt(self, session: Session, of: Watermark, sequences: Sequence[int]) -> None:
        """Makes requests of streams that broke off. Older tables than the instance are not even looked at, unless some
        are not there: its name may come from a clock that was ahead.
        """
        first = min(day_of(of.instance), of.day)
        for days in ((first, of.day), (0, first - 1)):
            rows = await session.fetch(statements.interrupt(len(sequences)), of.instance, *days, *sequences)
            there = [sequence for (sequence,) in rows]
            if there:
                sql = statements.sum_some(self._database.flavour, len(there))
                await session.fetch(sql, of.instance, *days, *there)
            sequences = sorted({*sequences} - {*there})
            if not sequences:
                return

    async def make_days(self, days: Collection[int]) -> None:
        """Makes room for rows of these days, where each day has a table."""

        async def make(session: Session) -> None:
            await self._make_days(session, days)

        if self._database.flavour.partitions is not None:
            await self._database.write(make)

    async def now_us(self) -> int:
        """The time that the database has."""
        ((now_us,),) = await self._database.ask(self._database.flavour.now_us)
        return int(now_us)

    async def newest_hour(self, before: int) -> int | None:
        """The last hour before another in which a request began, of those that are in sums; None: there is none."""
        ((hour,),) = await self._database.ask(statements.NEWEST_HOUR, before)
        return None if hour is None else int(hour)

    async def purge_records(self, before_day: int) -> int:
        """Removes a piece of the rows of earlier days; how many rows, or tables of a day. 0: there are none."""
        listing = self._database.flavour.partitions

        async def drop(session: Session, sql: str) -> int:
            found = (_day(name) for (name,) in await session.fetch(sql))
            days = sorted(day for day in found if day is not None and day < before_day)
            for day in days[:1]:
                await session.fetch(statements.LOCK_BRIEFLY)
                await session.script(f"DROP TABLE {_PARTITION}{day}")
            return len(days[:1])

        async def delete(session: Session) -> int:
            return len(await session.fetch(statements.PURGE_RECORDS, before_day, AT_ONCE, BYTES_AT_ONCE))

        if listing is None:
            return await self._database.write(delete)
        return await self._database.write(lambda session: drop(session, listing))

    async def purge_usage(self, before_hour: int) -> int:
        """Removes a piece of the sums of earlier hours; how many."""

        async def delete(session: Session) -> int:
            return len(await session.fetch(statements.PURGE_USAGE, before_hour, AT_ONCE))

        return await self._database.write(delete)

    async def purge_watermarks(self, before_day: int) -> int:
        """Removes those of journals that ended on earlier days, and of which no row is left."""

        async def delete(session: Session) -> int:
            return len(await session.fetch(statements.PURGE_WATERMARKS, before_day))

        return await self._database.write(delete)

    async def wipe(self) -> None:
        """What was deleted leaves no trace on disk from here on."""
        await wipe(self._database)

    async def close(self) -> None:
        """Lets go of its own connections."""
        if not self._shared:
            await self._database.close()

    async def _make_days(self, session: Session, days: Collection[int]) -> None:
        listing, lock = self._database.flavour.partitions, self._database.flavour.lock
        if listing is None or not days:
            return

        async def missing() -> list[int]:
            there = {name for (name,) in await session.fetch(listing)}
            return [day for day in sorted(days) if f"{_PARTITION}{day}" not in there]

        if await missing():
            if lock is not None:
                await session.fetch(lock)
            for day in await missing():
                await session.script(statements.partition(f"{_PARTITION}{day}", day))


def _move(before: Watermark | None, after: Watermark, now_us: int) -> tuple[Any, ...]:
    """The statement that moves it, and its values; it gives a row if it did."""
    values = (
        after.instance, after.segment, after.offset, after.sequence, after.hash, after.day, int(after.ended), now_us,
        after.begun,
    )  # fmt: skip
    if before is None:
        return (statements.FIRST_WATERMARK, *values)
    return (statements.NEXT_WATERMARK, *values, before.segment, before.offset, before.sequence)


def read_watermark(row: Sequence[Any]) -> Watermark:
    """From the order of `record_statements.watermarks`."""
    instance, segment, offset, sequence, hash, day, ended, begun = row
    return Watermark(
        instance=instance, segment=segment, offset=offset, sequence=sequence, hash=bytes(hash), day=day,
        ended=bool(ended), begun=bytes(begun),
    )  # fmt: skip


def _day(table: str) -> int | None:
    text = table.removeprefix(_PARTITION)
    return int(text) if text != table and text.isdigit() else None


def _pieces(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    for start in range(0, len(values), NAMES_AT_ONCE):
        yield values[start : start + NAMES_AT_ONCE]
