"""Runs the store rules of another release with its own code, on stores whose schema is ours.

Not imported: `python -P older_release.py` with that release on PYTHONPATH. Reads `{"urls": […], "mixed": url}` from
standard input, `url` being `[store, data_dir]`: an empty store for each rule, and one with rows of ours in it, whose
names it changes, by changes whose ids nobody else gives; those named "gone" it deletes and makes again. Its newest
version, of a change named in "subject", has no row. Prints how many rules held.
"""

import asyncio
import json
import sys
from typing import Any

from msgspec.structs import replace

from penstock.keys.model import Key, Team
from penstock.store.interface import Filter
from penstock.store.open import make_store
from tests.support.store_handles import Handles
from tests.support.store_rules import RULES
from tests.support.store_rules.rows import change


async def main() -> None:
    """Prints the number."""
    given: dict[str, Any] = json.load(sys.stdin)
    assert len(given["urls"]) >= len(RULES)
    for rule, (url, data_dir) in zip(RULES, given["urls"], strict=False):
        async with Handles(lambda url=url, data_dir=data_dir: make_store(url, data_dir)) as handles:  # type: ignore[misc]
            await rule(handles.make)
    async with Handles(lambda: make_store(*given["mixed"])) as handles:
        store = await handles.make()
        newest = (await store.changed_since(0, 100)).version
        reset, *_ = await store.changes(given["subject"], None, 9)
        assert (reset.action, reset.version) == ("limits.reset", newest)
        delta = await store.changed_since(newest - 1, 10)
        assert (delta.version, delta.rows, delta.more) == (newest, (), False)
        pages = [await store.list(Key, Filter(), None, 10), await store.list(Team, Filter(), None, 10)]
        for row in (row for page in pages for row in page.rows):
            if row.name == "gone":
                gone = replace(row, state="deleted")
                await store.save(gone, row.version, change(gone, id=f"drop {row.id}"))
                await store.save(replace(row, version=0), None, change(row, id=f"make {row.id}"))
                continue
            renamed = replace(row, name=f"{row.name} again")
            await store.save(renamed, row.version, change(renamed, id=f"rename {row.id}"))
    print(len(RULES))


if __name__ == "__main__":
    asyncio.run(main())
