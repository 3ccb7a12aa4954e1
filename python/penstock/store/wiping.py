"""What was deleted in a store leaves no trace on disk."""

from __future__ import annotations

from penstock.store.database import Database
from penstock.store.interface import StoreAwayError


async def wipe(database: Database) -> None:
    """Takes what was deleted out of what is on disk, where the deletion alone does not; PostgreSQL keeps it until it
    vacuums the table. Raises `StoreError`: others read the file all the time, and it may be there still.
    """
    if database.flavour.wiped is None:
        return
    ((is_busy, *_),) = await database.ask(database.flavour.wiped)
    if is_busy:
        raise StoreAwayError(f"{database.place} is being read: what was deleted may still be in its log; try it again")
