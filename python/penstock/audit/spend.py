"""What a key has spent today and this month, for `GET /v1/key`: a question of native's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from msgspec import Struct

from penstock.audit.sums import day_of, hour_of, month_of
from penstock.config.units import show_usd
from penstock.store.asking import Asking
from penstock.store.interface import StoreError

ANSWER_S = 0.9
"""Native waits for a second."""
KEPT_S = 1.0
"""An answer is given again so long: a key that asks all the time costs the store a statement a second."""
MOST_KEPT = 1_000

UNKNOWN = b"null"


class Spent(Struct, frozen=True):
    """Of a day or a month, UTC; the cost without the requests that are `unpriced`."""

    requests: int
    tokens: int
    """Of prompts and answers."""
    cost_usd: str
    unpriced: int


class Spending(Struct, frozen=True):
    """The answer."""

    today: Spent
    month: Spent


class _Asked(Struct, frozen=True):
    key: str


class _Kept(NamedTuple):
    until: float
    answer: asyncio.Future[bytes]


class Spend:
    """Handler of the question; what cannot be told in time is `null`."""

    def __init__(self, store: Asking | None, now_us: Callable[[], int] = lambda: time.time_ns() // 1_000) -> None:
        """`store` is None where no store takes records."""
        self._store, self._now_us = store, now_us
        self._kept: dict[str, _Kept] = {}

    async def __call__(self, payload: bytes) -> bytes:
        """JSON of `Spending`, or `null`."""
        if self._store is None:
            return UNKNOWN
        key = msgspec.json.decode(payload, type=_Asked).key
        now = asyncio.get_running_loop().time()
        kept = self._kept.get(key)
        if kept is None or (kept.until < now and kept.answer.done()):
            if len(self._kept) >= MOST_KEPT:
                self._kept = {name: each for name, each in self._kept.items() if each.until >= now}
            if len(self._kept) >= MOST_KEPT:
                return UNKNOWN
            kept = _Kept(now + KEPT_S, asyncio.ensure_future(self._answer(self._store, key)))
            self._kept[key] = kept
        return await asyncio.shield(kept.answer)

    async def _answer(self, store: Asking, key: str) -> bytes:
        hour = hour_of(self._now_us())
        try:
            async with asyncio.timeout(ANSWER_S):
                found = await store.spend(key, day_of(hour), month_of(hour))
        except (StoreError, TimeoutError):
            return UNKNOWN
        return msgspec.json.encode(Spending(_spent(found[:4]), _spent(found[4:])))


def _spent(numbers: tuple[int, ...]) -> Spent:
    requests, tokens, cost_nanousd, unpriced = numbers
    return Spent(requests, tokens, show_usd(cost_nanousd), unpriced)
