"""Makes changes on a store for ever, or as many as asked, and says a line for each that was acknowledged.

`python -m tests.support.saver URL DATA_DIR TAG [COUNT]`: one JSON line a change, `[key id, version, name]`; the name of
a deleted key is null. A store that is away is asked again for the same change until it answers.
"""

import asyncio
import itertools
import sys

import msgspec
from msgspec.structs import replace

from penstock.keys.model import Change, Key, Secret
from penstock.store.interface import Store, StoreAwayError
from penstock.store.open import make_store

PATIENCE_S = 20.0


async def save(store: Store, row: Key, expected: int | None, change: Change) -> int:
    """The version, however often the store must be asked."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await store.save(row, expected, change)
            except StoreAwayError:
                await asyncio.sleep(0.005)


async def work(store: Store, tag: str, count: int | None) -> None:
    """Each key is made, gets a second secret, and every other one is deleted."""
    numbers = itertools.count() if count is None else iter(range(count))
    for n in numbers:
        made = Key(id=f"{tag}-{n}", name="made", secrets=(Secret(generation=1, hash="h1"),))
        turned = replace(made, name="turned", secrets=(*made.secrets, Secret(generation=2, hash="h2")))
        steps = [made, turned] + ([replace(turned, state="deleted")] if n % 2 else [])
        version: int | None = None
        for step, row in enumerate(steps):
            facts = {"actor": tag, "action": "key.save", "subject": row.id, "before": None, "after": {"step": step}}
            change = msgspec.convert({"id": f"{row.id}-{step}", "at_us": step} | facts, Change)
            version = await save(store, row, version, change)
            name = None if row.state == "deleted" else row.name
            sys.stdout.buffer.write(msgspec.json.encode([row.id, version, name]) + b"\n")
            sys.stdout.buffer.flush()


async def main() -> None:
    """Runs until it is killed, or has made `COUNT` keys."""
    url, data_dir, tag, *rest = sys.argv[1:]
    store = make_store(url, data_dir)
    await store.open(migrate=True)
    try:
        await work(store, tag, int(rest[0]) if rest else None)
    finally:
        await store.close()


if __name__ == "__main__":
    asyncio.run(main())
