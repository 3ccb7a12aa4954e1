"""Forgetting in a store: private parts of requests go, day by day, and the chain still holds."""

from __future__ import annotations

from penstock.store.database import Database, Session
from penstock.store.wiping import wipe

AT_ONCE = 5_000
"""Rows that one transaction changes, so that it never holds others up for long."""

_DAYS = "SELECT DISTINCT day FROM penstock_records"
_FORGET = (
    "UPDATE penstock_records SET private = NULL WHERE day = $1 AND (instance, sequence) IN"
    " (SELECT instance, sequence FROM penstock_records"
    " WHERE day = $1 AND started_us < $2 AND private IS NOT NULL LIMIT $3) RETURNING sequence"
)
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

            async def work(session: Session, day: int = day) -> int:
                return len(await session.fetch(_FORGET, day, before_us, AT_ONCE))

            done = AT_ONCE
            while done == AT_ONCE:
                done = await self._database.write(work)
                count += done
        await wipe(self._database)
        return count

    async def close(self) -> None:
        """Lets go of its connections."""
        await self._database.close()

    async def _days(self) -> list[int]:
        """All of them: a row stands on the day on which its request ended."""
        listing = self._database.flavour.partitions
        if listing is None:
            return [day for (day,) in await self._database.ask(_DAYS)]
        names = [name.removeprefix(_PARTITION) for (name,) in await self._database.ask(listing)]
        return sorted(int(name) for name in names if name.isdigit())
