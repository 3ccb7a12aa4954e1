"""Opens a store with its migrations and prints the names of those that this process made, as one JSON line.

`python -m tests.support.opener URL DATA_DIR [FOLDER]`: waits for a line on standard input first, so that several begin
together; the migrations of FOLDER instead of ours.
"""

import asyncio
import sys
from pathlib import Path

import msgspec

from penstock.store.migrate import read_migrations
from penstock.store.open import make_store
from tests.support.releases import released


async def main() -> None:
    """Prints the names."""
    url, data_dir, *folder = sys.argv[1:]
    store = (
        released(make_store(url, data_dir), read_migrations(Path(folder[0]))) if folder else make_store(url, data_dir)
    )
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    made = await store.open(migrate=True)
    await store.close()
    sys.stdout.buffer.write(msgspec.json.encode(made) + b"\n")


if __name__ == "__main__":
    asyncio.run(main())
