"""All that keys need in a serving process, wired: store, cache, feed, verifier and ledger."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

from penstock.keys.argon2id import OWASP, Cost
from penstock.keys.cache import Cache
from penstock.keys.checks import Names
from penstock.keys.digest_key import load_digest_key
from penstock.keys.feed import Feed, Pace
from penstock.keys.hashing import THREADS, Hasher
from penstock.keys.model import AdminToken
from penstock.keys.service import Ledger
from penstock.keys.table import KeyEngine, Table
from penstock.keys.use import LastUsed
from penstock.keys.verify import Verifier
from penstock.observe.logs import Log
from penstock.store.interface import Store, StoreError


class Desk:
    """Made before the engine, which needs `digest_key_file`; started with it, before it serves.

    Raises `PrivateFileError` when that file cannot be used, ValueError when `cost` is below the floor.
    """

    def __init__(
        self,
        store: Store,
        data_dir: str,
        names: Names,
        log: Log,
        *,
        cost: Cost = OWASP,
        floor: Cost = OWASP,
        threads: int = THREADS,
        migrate: bool = True,
        degraded: Callable[[list[str]], None] = lambda _reasons: None,
        pace: Pace = Pace(),  # noqa: B008 (immutable)
    ) -> None:
        key = load_digest_key(data_dir)
        for warning in key.warnings:
            log.warning(warning)
        self.digest_key_file = key.path
        self.store = store
        self._log, self._migrate, self._pace, self._degraded = log, migrate, pace, degraded
        self._hasher = Hasher(cost, floor=floor, threads=threads)
        self._table = Table(Cache(data_dir, key.fingerprint, log, cost), log)
        self._feed = Feed(store, self._table, self._tell, log, migrate=migrate, pace=pace)
        self._verifier = Verifier(store, self._table, self._hasher, log, missed=self._feed.wake)
        self._table.changed = self._verifier.changed
        self._used: LastUsed | None = None
        self._stopped = False
        self.ledger = Ledger(store, self._table.publish, names, self._hasher, self._table.remembering)

    @property
    def tokens(self) -> Mapping[str, AdminToken]:
        """The admin tokens in force, by the SHA-256 of their text in hex; known while the store is away too."""
        return self._table.tokens

    @property
    def is_empty(self) -> bool:
        """Whether the store has no key at all: time to say how one is made."""
        return self._table.is_empty and not self._feed.is_away

    @property
    def is_away(self) -> bool:
        """Whether the store's keys are not all known: it did not answer when it was asked last."""
        return self._feed.is_away

    @property
    def verify(self) -> Verifier:
        """Handler of the question whether a secret is right."""
        return self._verifier

    async def start(self, engine: KeyEngine) -> None:
        """Gives native the keys: those of `data_dir`, then those of the store, which may be away.

        Raises `StoreRefusedError` when the store cannot be used as it is and `data_dir` has no keys to serve from.
        """
        self._table.attach(engine)
        self.ledger.saved = self._table.note
        await self._feed.start()
        self._used = LastUsed(engine.used_keys, self.store, self._log)
        self._used.start()

    async def stop(self) -> None:
        """Writes the last-used times, then lets go of everything; allowed when `start` failed, and more than once."""
        if self._stopped:
            return
        self._stopped = True
        await self._feed.stop()
        await self._verifier.stop()
        if self._used is not None:
            await self._used.stop()
        self._hasher.close()
        await self._table.close()
        with contextlib.suppress(StoreError):
            await self.store.close()

    def _tell(self, away: bool) -> None:
        self._degraded(["store"] if away else [])
