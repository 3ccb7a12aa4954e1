"""How many questions about records are answered at a time, how many may wait for that, and how long each may take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from penstock.store.interface import StoreAwayError

AT_ONCE = 4
WAITING = 8
"""More than so many do not wait: whoever administers keys meanwhile finds the admin port free."""


class BusyError(Exception):
    """Too many wait already; nothing was asked."""


class Room:
    """Questions go in, answers come out. A question's time is that of waiting, of the store and of the journals."""

    def __init__(self, within_s: float, at_once: int = AT_ONCE, waiting: int = WAITING) -> None:
        self._within_s, self._most = within_s, at_once + waiting
        self._free = asyncio.Semaphore(at_once)
        self._inside = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place to be asked in. Raises `BusyError`, and `StoreAwayError` once the time is over: what is being done
        then is cancelled.
        """
        if self._inside >= self._most:
            raise BusyError("too many ask about records now")
        self._inside += 1
        limit = asyncio.timeout(self._within_s)
        try:
            async with limit, self._free:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            said = f"there was no answer within {self._within_s:g} s: ask for less, by time or key"
            raise StoreAwayError(said) from None
        finally:
            self._inside -= 1
