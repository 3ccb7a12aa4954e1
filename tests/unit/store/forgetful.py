"""Opens a store, saves, prints the version and ends without closing."""

import asyncio
import sys
import warnings

from penstock.store.open import make_store
from tests.support.store_rules.rows import key, put


async def main() -> None:
    """Forgets."""
    store = make_store("sqlite", sys.argv[1])
    await store.open(migrate=True)
    print((await put(store, key())).version, flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore", ResourceWarning)
    asyncio.run(main())
