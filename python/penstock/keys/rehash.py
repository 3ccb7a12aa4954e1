"""Exchanging hashes that are weaker than new ones, once their secret was shown: one by one, behind all else."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from penstock.keys.hashing import Hasher, HasherBusyError, Rank
from penstock.keys.model import Secret
from penstock.observe.logs import Log
from penstock.store.interface import Store, StoreError

MOST = 20_000
"""Secrets that wait: an import of ten thousand keys that are all used at once fits twice."""

LONGEST_PAUSE_S = 60.0


class _Due(NamedTuple):
    key: str
    secret: Secret
    text: str

    def __repr__(self) -> str:
        return f"_Due(key={self.key!r})"


class Rehasher:
    """Works while something is due; outlasts an outage of the store, not the end of the process."""

    def __init__(self, store: Store, hasher: Hasher, log: Log, pause_s: float = 1.0) -> None:
        self._store, self._hasher, self._log, self._pause_s = store, hasher, log, pause_s
        self._due: deque[_Due] = deque()
        self._told = False
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._due)

    def add(self, key: str, secret: Secret, text: str) -> None:
        """The secret was just verified; it is not shown here again."""
        if len(self._due) >= MOST:
            if not self._told:
                self._log.warning("too many hashes wait to be replaced: some stay as they are", waiting=MOST)
            self._told = True
            return
        self._due.append(_Due(key, secret, text))
        if self._task is None or self._task.done():
            self._told = False
            self._task = asyncio.create_task(self._run(), name="rehashing of keys")

    async def stop(self) -> None:
        """Forgets what is due: the next use of a weak hash after a restart that verifies it brings it back."""
        self._due.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        pause_s = self._pause_s
        while self._due:
            key, secret, text = self._due[0]
            try:
                hash = await self._hasher.hash(text, Rank.LATER)
                await self._store.replace_hash(key, secret.generation, secret.hash, hash)
            except (StoreError, HasherBusyError):
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            except Exception as error:  # its text may hold the secret; its type does not
                self._log.error(f"a hash could not be replaced: {type(error).__name__}", key=key)
            self._due.popleft()
            pause_s = self._pause_s
