"""Hearing at once, through LISTEN, that another node changed something."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from penstock.store.interface import StoreError
from penstock.store.postgres_connection import DRIVER_ERRORS, Connection, is_direct, part

CHANNEL = "penstock"
CHECK_S = 30.0
"""How often a silent connection is asked whether it still is one."""
PAUSE_S = (0.5, 30.0)
"""Between attempts to connect: the shortest and the longest."""


class Listener:
    """Calls `woken` at every change, on a connection of its own that is made again when it is lost; begun when it is
    made, on the running loop. A `Watch`.

    Ends quietly when a pooler sits before the server: it hands notifications to whoever comes next.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]], woken: Callable[[], None], call_s: float) -> None:
        self._connect, self._woken, self._call_s = connect, woken, call_s
        self._hears = False
        self.task = asyncio.get_running_loop().create_task(self._run())

    @property
    def hears(self) -> bool:
        """Whether its connection stands, as far as is known here."""
        return self._hears

    async def stop(self) -> None:
        """Listens no more; may be called again."""
        self.task.cancel()
        await asyncio.wait([self.task])

    async def _run(self) -> None:
        pause, longest = PAUSE_S
        while True:
            connection = None
            try:
                async with asyncio.timeout(self._call_s):
                    connection = await self._connect()
                    if not await is_direct(connection):
                        return
                    lost = _lost(connection)
                    await connection.add_listener(CHANNEL, lambda *_: self._woken())
                pause, _ = PAUSE_S
                self._hears = True
                self._woken()  # something may have changed while nobody listened
                await _until_lost(connection, lost, self._call_s)
            except (*DRIVER_ERRORS, StoreError, ValueError):
                pass  # whoever watches polls as well, and hears there that the store is away
            finally:
                did_hear, self._hears = self._hears, False
                if connection is not None:
                    await part(connection, self._call_s)
            if did_hear:
                self._woken()  # who relies on it need not wait any more
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)


def _lost(connection: Connection) -> asyncio.Event:
    """Set when the connection ends."""
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _: lost.set())
    return lost


async def _until_lost(connection: Connection, lost: asyncio.Event, seconds: float) -> None:
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(lost.wait(), CHECK_S)
            return
        async with asyncio.timeout(seconds):
            await connection.fetchval("SELECT 1")
