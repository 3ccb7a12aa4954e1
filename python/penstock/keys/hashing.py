"""Hashing and checking secrets off the loop: at most two threads, at the lowest priority, with a bounded queue."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from typing import Any, NamedTuple, TypeVar

from penstock.keys.argon2id import OWASP, Blocks, Cost, DamagedHashError, decode
from penstock.keys.turns import Turns
from penstock.priority import go_last

IMPORTED = "sha256:"
"""How the hash of an imported key begins that nobody has used yet; 64 hex digits follow."""

THREADS = 2
"""At most; see `threads_on`."""

WAITING = 4096
IDLE_S = 1.0
"""How long the memory is kept once nothing is left to hash."""

ResultT = TypeVar("ResultT")


class HasherBusyError(Exception):
    """The queue is full, or the process is ending: nothing was computed."""


class Rank(IntEnum):
    """Who goes first."""

    ADMIN = 0
    """Somebody waits for a new key."""
    REQUEST = 1
    LATER = 2
    """Rehashing and bulk imports."""


class _Job(NamedTuple):
    work: Callable[[], Any]
    done: asyncio.Future[Any]


class Hasher:
    """Computes Argon2id; belongs to one event loop from its first use on."""

    def __init__(
        self,
        cost: Cost = OWASP,
        *,
        floor: Cost = OWASP,
        threads: int = THREADS,
        waiting: int = WAITING,
        idle_s: float = IDLE_S,
    ) -> None:
        """Raises ValueError when a parameter is below `floor`."""
        for name, value, least in zip(Cost._fields, cost, floor, strict=True):
            if value < least:
                raise ValueError(f"{name} is {value}; at least {least} is needed")
        self.cost = cost
        self._threads, self._waiting, self._idle_s = threads, waiting, idle_s
        self._blocks = Blocks()
        self._pool = ThreadPoolExecutor(threads, "penstock-hash", initializer=go_last)
        self._lines: dict[Rank, Turns[_Job]] = {rank: Turns() for rank in Rank}
        self._running = 0
        self._rest: asyncio.TimerHandle | None = None
        self._closed = False

    async def hash(self, text: str, rank: Rank = Rank.ADMIN) -> str:
        """An Argon2id hash as PHC text. Raises `HasherBusyError`."""
        secret = text.encode()
        return await self._do(rank, lambda: self._blocks.hash(secret, self.cost))

    async def verify(self, text: str, stored: str, who: str = "") -> bool:
        """Whether a stored hash is this secret's; everybody who asks has a turn.

        Raises `HasherBusyError`, `DamagedHashError`.
        """
        secret = text.encode()
        if stored.startswith(IMPORTED):
            return hmac.compare_digest(hash_imported(secret).encode(), stored.encode())
        encoded = decode(stored)
        return await self._do(Rank.REQUEST, lambda: self._blocks.is_right(secret, encoded), who)

    def needs_rehash(self, stored: str) -> bool:
        """Whether a hash is imported, or cheaper to break than those that are made now."""
        return is_below(cost_of(stored), self.cost)

    def close(self) -> None:
        """Takes no more work, and ends what waits; what is being computed ends by itself, unheard."""
        self._closed = True
        while (job := self._next()) is not None:
            if not job.done.done():
                job.done.set_exception(HasherBusyError("the process is ending"))
        if self._rest is not None:
            self._rest.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _do(self, rank: Rank, work: Callable[[], ResultT], who: str = "") -> ResultT:
        if self._closed:
            raise HasherBusyError("the process is ending")
        if sum(map(len, self._lines.values())) >= self._waiting:
            raise HasherBusyError("too many secrets wait to be checked")
        done: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
        ticket = self._lines[rank].put(who, _Job(work, done))
        self._start()
        try:
            return await done
        except asyncio.CancelledError:
            self._lines[rank].drop(who, ticket)
            raise

    def _next(self) -> _Job | None:
        return next((line.take() for line in self._lines.values() if line), None)

    def _start(self) -> None:
        while self._running < self._threads and (job := self._next()) is not None:
            if job.done.done():
                continue  # whoever waited has gone
            self._running += 1
            computed = asyncio.get_running_loop().run_in_executor(self._pool, job.work)
            computed.add_done_callback(lambda computed, job=job: self._end(computed, job))  # type: ignore[misc]

    def _end(self, computed: asyncio.Future[Any], job: _Job) -> None:
        self._running -= 1
        if not job.done.done():
            if computed.cancelled():
                job.done.set_exception(HasherBusyError("the process is ending"))
            elif error := computed.exception():
                job.done.set_exception(error)
            else:
                job.done.set_result(computed.result())
        elif not computed.cancelled():
            computed.exception()  # nobody hears it any more
        if self._closed:
            return
        self._start()
        if self._rest is not None:
            self._rest.cancel()
        if not self._running:
            self._rest = asyncio.get_running_loop().call_later(self._idle_s, self._give_back)

    def _give_back(self) -> None:
        if not self._running and not self._closed:
            self._pool.submit(self._blocks.drop)  # unmapping takes a millisecond, which the loop need not spend


def cost_of(stored: str) -> Cost:
    """What a stored hash takes; nothing for one that is imported or damaged."""
    try:
        return decode(stored).cost
    except DamagedHashError:
        return Cost(0, 0, 0)


def is_below(cost: Cost, wanted: Cost) -> bool:
    """Whether one of the parameters is lower."""
    return any(has < wants for has, wants in zip(cost, wanted, strict=True))


def hash_imported(secret: bytes) -> str:
    """How a secret's SHA-256 is stored."""
    return IMPORTED + hashlib.sha256(secret).hexdigest()


def threads_on(cores: int) -> int:
    """How many threads hash on a machine: one of its cores stays free of the memory that a hash works through."""
    return max(1, min(THREADS, cores // 2))
