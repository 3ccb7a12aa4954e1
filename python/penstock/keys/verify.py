"""Answers native's question whether a secret is right: the first time anybody shows it here, and never again."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec import Struct

from penstock.keys.argon2id import DamagedHashError
from penstock.keys.hashing import Hasher, HasherBusyError, cost_of
from penstock.keys.model import Key, Secret
from penstock.keys.patience import Delays, Wrongs, sender_of
from penstock.keys.rehash import Due, Rehasher
from penstock.keys.table import Table
from penstock.observe.logs import Log
from penstock.store.interface import Store, StoreError

PENDING = 2_048
"""Secrets that are being looked at, or wait for it; beyond, the key that has the most of them gets 503."""

BEHIND = 8
"""Of one sender and key, requests that wait for the verdict on another secret; beyond: 429."""

AWAY_MS = 1_000
BEHIND_MS = 1_000

Verdict = Literal["right", "wrong", "slow", "away"]
_Found = Literal["right", "wrong", "gone", "away"]
"""`gone`: there is no such key any more."""


class Question(Struct, frozen=True):
    """Is this secret one of this key's?"""

    key: str
    secret: str
    digest: str
    """Of the secret's whole text, 64 hex digits, by the key that only native knows."""
    client: str | None = None

    def __repr__(self) -> str:
        return f"Question(key={self.key!r}, client={self.client!r})"


class Answer(Struct, frozen=True):
    """`right`: native knows the digest by now. `slow` and `away`: ask again after so long."""

    verdict: Verdict
    retry_after_ms: int = 0


class _Flight:
    """One secret of one key being looked at; who shows the same one meanwhile gets the same verdict, nobody else."""

    def __init__(self, asked: Question, task: asyncio.Task[_Found], life: int) -> None:
        self.key, self.digest = asked.key, asked.digest
        self.task, self.life = task, life
        self.found: asyncio.Future[_Found] = asyncio.get_running_loop().create_future()
        self.senders: set[str] = set()
        self.behind = 0
        self.outdated = False


_decode = msgspec.json.Decoder(Question).decode
_encode = msgspec.json.Encoder().encode


class Verifier:
    """Handler of questions of kind 2. `missed` hears that the store has a change that native has not."""

    def __init__(
        self,
        store: Store,
        table: Table,
        hasher: Hasher,
        log: Log,
        *,
        missed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
        pending: int = PENDING,
    ) -> None:
        self._store, self._table, self._hasher, self._log = store, table, hasher, log
        self._missed = missed
        self._now_us, self._pending = now_us, pending
        self._flights: dict[tuple[str, str], _Flight] = {}
        self._busy: dict[tuple[str, str], _Flight] = {}
        self._of_key: dict[str, dict[_Flight, None]] = {}  # the newest last
        self._delays, self._wrongs = Delays(clock), Wrongs()
        self._rehasher = Rehasher(store, hasher, table, log)
        self._life = table.life

    async def __call__(self, payload: bytes) -> bytes:
        """The crossing's form of `verify`."""
        return bytes(_encode(await self.verify(_decode(payload))))

    async def verify(self, asked: Question) -> Answer:
        """A verdict on this secret alone."""
        self._notice_reset()
        sender = sender_of(asked.client)
        here, this = (asked.key, sender), (asked.key, asked.digest)
        while not self._wrongs.has(*this):
            other = self._busy.get(here)
            if other is None or other is self._flights.get(this):
                break
            # Of one sender, one secret of a key after another: else any number of guesses would be looked at at once.
            if other.behind >= BEHIND:
                return Answer("slow", BEHIND_MS)
            other.behind += 1
            try:
                await asyncio.wait([other.found])
            finally:
                other.behind -= 1
        else:
            return Answer("wrong")
        if left_s := self._delays.left_s(*here):
            return Answer("slow", int(left_s * 1000) + 1)
        flight = self._flights.get(this)
        if flight is None:
            if not self._has_room(asked.key):
                return Answer("away", AWAY_MS)
            flight = self._begin(asked)
        flight.senders.add(sender)
        self._busy[here] = flight
        # The question may be given up; the work is not, others may wait for it.
        found = await asyncio.shield(flight.found)
        return Answer("wrong" if found == "gone" else found, AWAY_MS if found == "away" else 0)

    def changed(self, key: str) -> None:
        """The row of a key was put: what was found wrong may be right now."""
        self._wrongs.forget(key)
        for flight in self._of_key.get(key, ()):
            flight.outdated = True

    async def stop(self) -> None:
        """Ends what is being looked at."""
        await self._rehasher.stop()
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _has_room(self, key: str) -> bool:
        """Whether one more secret of this key may be looked at: all keys have a share, whoever is guessed at."""
        if len(self._flights) < self._pending:
            return True
        most = max(self._of_key.values(), key=len, default={})
        if len(most) <= len(self._of_key.get(key, ())) + 1:
            return False
        newest = next(reversed(most))
        newest.task.cancel()
        self._end(newest, "away")
        return True

    def _begin(self, asked: Question) -> _Flight:
        task = asyncio.create_task(self._look(asked))
        flight = _Flight(asked, task, self._table.life)
        self._flights[asked.key, asked.digest] = flight
        self._of_key.setdefault(asked.key, {})[flight] = None
        task.add_done_callback(lambda task: self._end(flight, "away" if task.cancelled() else task.result()))
        return flight

    def _end(self, flight: _Flight, found: _Found) -> None:
        """Runs before anybody who waited does: they find what this verdict has changed."""
        if flight.found.done():
            return  # it had to make room
        del self._flights[flight.key, flight.digest]
        of_key = self._of_key[flight.key]
        del of_key[flight]
        if not of_key:
            del self._of_key[flight.key]
        for sender in flight.senders:
            self._busy.pop((flight.key, sender), None)
            if found == "wrong":
                self._delays.rise(flight.key, sender)
            elif found == "right":
                self._delays.end(flight.key, sender)
        if found == "wrong" and not flight.outdated and flight.life == self._table.life:
            self._wrongs.add(flight.key, flight.digest)
        flight.found.set_result(found)

    async def _look(self, asked: Question) -> _Found:
        try:
            return await self._judge(asked)
        except StoreError:
            # What was verified here before is right without the store; only its hash has to wait.
            return "right" if await self._table.recall(asked.key, asked.digest) else "away"
        except HasherBusyError:
            return "away"
        except DamagedHashError as error:
            self._log.error(f"{error}: rotate this key", key=asked.key)
        except Exception as error:  # such as no memory: whoever waits must not wait until the deadline
            # Its text may hold the secret; its type does not.
            self._log.error(f"a secret could not be checked: {type(error).__name__}", key=asked.key)
        return "away"

    async def _judge(self, asked: Question) -> _Found:
        life = self._table.life
        # A call of the store goes on when this has to make room: one that is given up costs a connection.
        key, change = await asyncio.shield(self._store.get(Key, asked.key)), ""
        if key is None:
            self._missed()
            return "gone"
        secret = await self._find(key, asked)
        if secret is None:
            return "wrong"
        if key.version > self._table.place.version:  # native may not have heard of this generation yet
            found = await self._store.changes(None, key.version + 1, 1)
            change = found[0].id if found and found[0].version == key.version else ""
        if life != self._table.life:
            return "away"
        self._table.note(key.version, change)
        await self._table.publish([key])
        if not self._table.learn(life, key.id, secret.generation, asked.digest, cost_of(secret.hash)):
            return "away"
        if self._hasher.needs_rehash(secret.hash):
            self._rehasher.add(Due(life, key.id, secret, asked.secret, asked.digest))
        return "right"

    async def _find(self, key: Key, asked: Question) -> Secret | None:
        """The live secret of the key that this is; whether it may be used now, native knows."""
        known = await self._table.known(key.id)
        damaged = None
        for secret in sorted(key.secrets, key=lambda secret: -secret.generation):
            if secret.until_us is not None and secret.until_us <= self._now_us():
                continue
            if digest := known.get(secret.generation):
                # Another process on data_dir has seen it, or native asks because of another generation.
                if hmac.compare_digest(digest, asked.digest):
                    return secret
                continue
            try:
                if await self._hasher.verify(asked.secret, secret.hash, key.id):
                    return secret
            except DamagedHashError as error:
                damaged = error
        if damaged is not None:
            raise damaged
        return None

    def _notice_reset(self) -> None:
        if self._life != self._table.life:
            self._life = self._table.life
            self._wrongs.clear()
            self._delays.clear()
