"""Opens the store of an address and prints which of the optional libraries were imported, as JSON."""

import asyncio
import contextlib
import json
import sys

from penstock.store.interface import StoreAwayError
from penstock.store.open import make_store

OPTIONAL = ("aiosqlite", "asyncpg", "redis")


async def main() -> None:
    """Opens and closes."""
    store = make_store(sys.argv[1], sys.argv[2])
    with contextlib.suppress(StoreAwayError):
        await store.open(migrate=True)
    await store.close()
    print(json.dumps([name for name in OPTIONAL if name in sys.modules]))


if __name__ == "__main__":
    asyncio.run(main())
