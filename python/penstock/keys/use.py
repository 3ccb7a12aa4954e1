"""Times of last use: collected from native, written to the store in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice

import msgspec

from penstock.observe.logs import Log
from penstock.store.interface import Store, StoreError

EVERY_S = 30.0
STOP_S = 5.0
"""How long the end of the process waits for the last times to be written."""

AT_ONCE = 2_000
MOST = 200_000
"""Keys whose times are held while the store is away; those used longest ago are given up first."""

_decode = msgspec.json.Decoder(dict[str, int]).decode


class LastUsed:
    """Native's times on their way to the store; what cannot be written now is written later."""

    def __init__(self, used: Callable[[], bytes], store: Store, log: Log, every_s: float = EVERY_S) -> None:
        self._used, self._store, self._log, self._every_s = used, store, log, every_s
        self._held: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Writes from now on, time after time."""
        self._task = asyncio.create_task(self._run(), name="last-used times of keys")

    async def stop(self) -> None:
        """Writes what is left, if the store takes it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
            try:
                async with asyncio.timeout(STOP_S):
                    await self.write()
            except TimeoutError:
                self._log.warning("the last-used times of keys were not written in time", keys=len(self._held))

    async def write(self) -> None:
        """Takes over what native has and writes all that is held; keeps it when the store is away."""
        self._collect()
        try:
            while self._held:
                some = dict(islice(self._held.items(), AT_ONCE))
                await self._store.touch(some)
                for key, at_us in some.items():
                    if self._held.get(key) == at_us:
                        del self._held[key]
        except StoreError as error:
            self._log.debug("last-used times wait for the store", keys=len(self._held), error=str(error))

    def _collect(self) -> None:
        for key, at_us in sorted(_decode(self._used()).items(), key=lambda item: item[1]):
            # Put behind the others: the order is that of last use.
            self._held[key] = max(self._held.pop(key, 0), at_us)
        for key in list(islice(self._held, max(0, len(self._held) - MOST))):
            del self._held[key]

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.write()
            except Exception as error:  # a fault of ours must not end the writing
                self._log.error(f"last-used times of keys could not be written: {error!r}")
