"""Exchanging hashes that are weaker than new ones, once their secret was shown: one by one, behind all else."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from penstock.keys.hashing import Hasher, HasherBusyError, Rank, cost_of
from penstock.keys.model import Secret
from penstock.keys.table import Table
from penstock.observe.logs import Log
from penstock.store.interface import Store, StoreError

MOST = 20_000
"""Secrets that wait: an import of ten thousand keys that are all used at once fits twice."""

LONGEST_PAUSE_S = 60.0


class Due(NamedTuple):
    """A secret that was just verified; it is not shown here again."""

    life: int
    """Of the table, when it was."""
    key: str
    secret: Secret
    text: str
    digest: str

    def __repr__(self) -> str:
        return f"Due(key={self.key!r})"


class Rehasher:
    """Works while something is due; outlasts an outage of the store.

    What the end of the process leaves is due again after the next start: until its hash is exchanged, the digest of a
    secret is marked with what that hash took.
    """

    def __init__(self, store: Store, hasher: Hasher, table: Table, log: Log, pause_s: float = 1.0) -> None:
        self._store, self._hasher, self._table, self._log, self._pause_s = store, hasher, table, log, pause_s
        self._due: deque[Due] = deque()
        self._told = False
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._due)

    def add(self, due: Due) -> None:
        """The hash of this secret is to be exchanged."""
        if len(self._due) >= MOST:
            if not self._told:
                self._log.warning("too many hashes wait to be replaced: some stay until a restart", waiting=MOST)
            self._told = True
            return
        self._due.append(due)
        if self._task is None or self._task.done():
            self._told = False
            self._task = asyncio.create_task(self._run(), name="rehashing of keys")

    async def stop(self) -> None:
        """Forgets what is due."""
        self._due.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        pause_s = self._pause_s
        while self._due:
            life, key, secret, text, digest = self._due[0]
            try:
                hash = await self._hasher.hash(text, Rank.LATER)
                if await self._store.replace_hash(key, secret.generation, secret.hash, hash):
                    self._table.learn(life, key, secret.generation, digest, cost_of(hash))
            except (StoreError, HasherBusyError):
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            except Exception as error:  # its text may hold the secret; its type does not
                self._log.error(f"a hash could not be replaced: {type(error).__name__}", key=key)
            self._due.popleft()
            pause_s = self._pause_s
