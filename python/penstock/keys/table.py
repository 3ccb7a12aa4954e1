"""What native's key table and `data_dir` are told: rows, digests, resets, always both and in one order.

Native at once, `data_dir` somewhat later where a load has many rows: what is in it was true at a moment before.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from penstock.keys.argon2id import Cost
from penstock.keys.backlog import Backlog
from penstock.keys.cache import Cache, CacheLostError, Note, Place
from penstock.keys.model import AdminToken, Row
from penstock.keys.rows import Kept, KeptKey, batch_of, closed, digest_batch, encode, in_batches, keep
from penstock.observe.logs import Log
from penstock.policy.key_table import FORMAT, Batch


class KeyEngine(Protocol):
    """What keys need of the engine; its docstrings stand in `_native.pyi`."""

    def put_keys(self, batch: bytes) -> None: ...
    def digest(self, credential: str) -> str: ...
    def keys_current(self, current: bool) -> None: ...
    def used_keys(self) -> bytes: ...


class Table:
    """The rows of this node. Putting is done before a method waits for anything, so that no two of them mix."""

    def __init__(self, cache: Cache, log: Log) -> None:
        self._cache, self._log = cache, log
        self._engine: KeyEngine | None = None
        self._tokens: dict[str, AdminToken] = {}
        self._empty = True
        self._backlog = Backlog(cache.write, log)
        self._is_loading = False
        self.place = Place()
        self.life = 0
        """Rises with every reset: what was found out about rows before it says nothing about rows after it."""
        self.changed: Callable[[str], None] = lambda _key: None
        """Told of every key whose row was put."""
        self.ahead: set[Note] = set()
        """Changes that this node has put although the feed has not come to them yet."""

    def attach(self, engine: KeyEngine) -> None:
        """The engine whose key table this is; before anything else is called."""
        self._engine = engine

    def set_current(self, current: bool) -> None:
        """Whether native may take an id that it does not have for one that does not exist."""
        if self._engine is not None:
            self._engine.keys_current(current)

    @property
    def tokens(self) -> Mapping[str, AdminToken]:
        """Admin tokens by the SHA-256 of their text, as far as this node has heard."""
        return {token.digest: token for token in self._tokens.values() if token.state == "active"}

    @property
    def is_empty(self) -> bool:
        """Whether no key was ever put."""
        return self._empty

    async def load(self) -> int:
        """Takes over what `data_dir` has; how many rows."""
        place, count = await self._cache.open(), 0
        try:
            async for rows in self._cache.load():
                self._put(rows)
                count += len(rows)
        except CacheLostError:
            self.life += 1
            self._tokens.clear()
            self._send(Batch(FORMAT, reset=True))
            return 0
        self.place = place
        self.ahead = await self._cache.ahead()
        return count

    def note(self, version: int, change: str) -> None:
        """The row of this version, which is published next, is that of this change."""
        if version > self.place.version:
            # The one before stays: two changes of one version say that the store has lost one, which the feed finds.
            self.ahead.add(Note(version, change))

    async def noted(self, version: int) -> set[Note]:
        """What all processes on `data_dir` have put so, up to a version."""
        return {note for note in await self._cache.ahead() if note.version <= version}

    async def publish(self, rows: Sequence[Row]) -> None:
        """Rows whose change this node made, or met before it was told: native and `data_dir` know them on return."""
        # What the feed has passed it has shown in a newer form, perhaps as a tombstone that is forgotten by now.
        newer = [keep(row) for row in rows if row.version > self.place.version]
        if newer:
            self._put(newer)
            changes = dict(self.ahead)
            noted = [(row, changes.get(row.version)) for row in newer]
            if not await self._backlog.take(lambda: self._cache.write_ahead(noted)):
                self._log.warning("a change is in force, but not in data_dir yet: that takes long today")

    async def advance(self, rows: Sequence[Row], place: Place, *, settled: bool) -> None:
        """All that changed between the last place and this one; with `settled` there is nothing newer now."""
        since, kept = self.place.version, [keep(row) for row in rows]
        self._put(kept)
        if settled:
            self._send(Batch(FORMAT, settled=place.version))
            self._tokens = {id: token for id, token in self._tokens.items() if token.state != "deleted"}
        self.place = place
        self.ahead = {note for note in self.ahead if note.version > place.version}
        # What the disk has is never ahead of what native has.
        is_part, self._is_loading = self._is_loading or not settled, not settled
        if self._backlog.is_empty and not is_part:
            await self._cache.write(kept, since, place)
            return
        await self._backlog.put(kept, since, place, complete=settled)
        if kept and not is_part:
            await self._backlog.finish()

    async def reset(self, store: str) -> None:
        """Forgets everything: what follows comes from another store, or from one that lost data."""
        self.life += 1
        self._tokens.clear()
        self._empty = True
        self._send(Batch(FORMAT, reset=True))
        self.ahead.clear()
        self.place = Place(store)
        self._backlog.drop()
        self._is_loading = False
        await self._cache.reset(store)

    async def close(self) -> None:
        """Finishes what is on its way to `data_dir`; nothing is taken after that."""
        try:
            if not await self._backlog.finish():
                self._log.warning("not all keys are in data_dir yet: the next start loads them from the store")
        finally:
            self._backlog.close()
            await self._cache.close()

    def learn(self, life: int, key: str, generation: int, digest: str, cost: Cost) -> bool:
        """A secret has been verified by a hash of this cost; False, and nothing done, when that was before a reset."""
        if life != self.life:
            return False
        self._send(digest_batch(key, generation, digest))
        # Nobody waits for the disk: what a crash loses is verified once more. The row is there first.
        self._backlog.leave(partial(self._cache.learn, key, generation, digest, cost))
        return True

    def remembering(self) -> Callable[[str, int, str], None]:
        """For a secret that this process is about to save: told of the saved one, nobody has to verify it.

        It is about the rows of now: after a reset it does nothing.
        """
        return partial(self._remember, self.life)

    async def recall(self, key: str, digest: str) -> bool:
        """Whether `data_dir` has the digest of a secret; native knows it then."""
        for generation, known in (await self.known(key)).items():
            if hmac.compare_digest(known, digest):
                self._send(digest_batch(key, generation, digest))
                return True
        return False

    async def known(self, key: str) -> dict[int, str]:
        """The digests of a key's verified secrets by generation."""
        life = self.life
        found = await self._cache.known(key)
        return found if life == self.life else {}

    def _remember(self, life: int, key: str, generation: int, text: str) -> None:
        if self._engine is not None:
            self.learn(life, key, generation, self._engine.digest(text), self._cache.cost)

    def _send(self, batch: Batch) -> None:
        if self._engine is not None:
            self._engine.put_keys(encode(batch))

    def _put(self, rows: Sequence[Kept]) -> None:
        for some in in_batches(rows):
            self._put_some(some)
        for row in rows:
            if isinstance(row, KeptKey):
                self._empty = self._empty and row.state == "deleted"
                self.changed(row.id)
            elif isinstance(row, AdminToken):
                known = self._tokens.get(row.id)
                if known is None or known.version < row.version:
                    self._tokens[row.id] = row

    def _put_some(self, rows: Sequence[Kept]) -> None:
        try:
            self._send(batch_of(rows))
        except ValueError as error:
            # One row that somebody wrote past us must not keep the others out.
            if len(rows) == 1:
                self._put_closed(rows[0], error)
                return
            half = len(rows) // 2
            self._put_some(rows[:half])
            self._put_some(rows[half:])

    def _put_closed(self, row: Kept, error: ValueError) -> None:
        """Left out, it would leave the row before in force: what was disabled, cut or rotated since would go on."""
        told = {"row": row.id, "version": row.version}
        if not isinstance(row, AdminToken):
            try:
                self._send(batch_of([closed(row)]))
            except ValueError:  # then it is not what was taken out of it
                pass
            else:
                self._log.error(f"a row of the store cannot be read and counts as disabled: {error}", **told)
                return
        self._log.error(f"a row of the store is left out: {error}", **told)
