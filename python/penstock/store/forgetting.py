"""Forgetting in a store: private parts of requests go, day by day, and the chain still holds."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.store.database import Database, Flavour, Session, Value
from penstock.store.record_statements import some_rows
from penstock.store.records import AT_ONCE, BYTES_AT_ONCE
from penstock.store.wiping import wipe

_DAYS = "SELECT DISTINCT day FROM penstock_records"
_PARTITION = "penstock_records_"


class Forgetting:
    """Every method may raise `StoreError`; what was done by then stays done."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def forget(self, before_us: int) -> int:
        """Takes the private part out of requests that began before a time; how many there were.

        Afterwards nothing of it is in a SQLite file; PostgreSQL keeps it until it vacuums the table.
        """
        await self._database.open()
        if not await self._database.ask(self._database.flavour.records_known):
            return 0
        count = 0
        for day in await self._days():
            done = await self._piece(day, before_us, ())
            while done:
                count += len(done)
                done = await self._piece(day, before_us, max(done))
        await wipe(self._database)
        return count

    async def close(self) -> None:
        """Lets go of its connections."""
        await self._database.close()

    async def _piece(self, day: int, before_us: int, after: Sequence[Value]) -> list[tuple[Value, ...]]:
        """Of a day, those behind the row `after`, as many as one transaction may change; which they were."""
        sql = _forget(self._database.flavour, len(after))

        async def work(session: Session) -> list[tuple[Value, ...]]:
            rows = await session.fetch(sql, day, before_us, AT_ONCE, BYTES_AT_ONCE, *after)
            return [tuple(row) for row in rows]

        return await self._database.write(work)

    async def _days(self) -> list[int]:
        """All of them: a row stands on the day on which its request ended."""
        listing = self._database.flavour.partitions
        if listing is None:
            return [day for (day,) in await self._database.ask(_DAYS)]
        names = [name.removeprefix(_PARTITION) for (name,) in await self._database.ask(listing)]
        return sorted(int(name) for name in names if name.isdigit())


def _forget(flavour: Flavour, places: int) -> str:
    """Of the day `$1` those that began before `$2`, `$3` rows and `$4` bytes of them, behind a row that is named from
    `$5` on."""
    where = "day = $1 AND started_us < $2 AND private IS NOT NULL"
    if places:
        where += f" AND ({flavour.row}) > ({', '.join(f'${n}' for n in range(5, 5 + places))})"
    some = some_rows(flavour.row, "length(private)", where, "$3", "$4")
    return (
        f"UPDATE penstock_records SET private = NULL WHERE day = $1 AND ({flavour.row}) IN ({some})"  # noqa: S608
        f" RETURNING {flavour.row}"
    )
