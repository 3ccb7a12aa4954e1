"""All that records need in a serving process on their way to the store, wired: shipper and retention."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from penstock.audit.retention import Retention
from penstock.audit.shipper import Shipper, ShippingEngine
from penstock.engine import OpenRows
from penstock.observe.logs import Log
from penstock.store.records import Records

LAST_S = 2.0
"""How long the end of the process waits for what must be done before."""


class Shipping:
    """Imported only where records are shipped."""

    def __init__(
        self,
        records: Records,
        data_dir: str,
        instance: str,
        engine: ShippingEngine,
        log: Log,
        *,
        retain_us: int,
        room_bytes: int,
        degraded: Callable[[list[str]], None],
        tidy: Callable[[], None],
        open_rows: OpenRows,
        before: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """`before`: what must be done before the store gets anything from here; false: it gets nothing."""
        self._records, self._before = records, before
        self._waiting: asyncio.Task[None] | None = None
        self._retention = Retention(records, log, retain_us=retain_us)
        self._shipper = Shipper(
            records,
            data_dir,
            instance,
            engine,
            log,
            retain_us=retain_us,
            room_bytes=room_bytes,
            degraded=degraded,
            tidy=tidy,
            open_rows=open_rows,
        )

    def start(self) -> None:
        """Once native runs."""
        self._retention.start()
        if self._before is None:
            self._shipper.start()
        else:
            self._waiting = asyncio.get_running_loop().create_task(self._start_behind(self._before))

    async def stop(self) -> None:
        """Once native has written the last record; ships it, if the store takes it soon."""
        await self._retention.stop()
        if self._waiting is not None:
            await asyncio.wait([self._waiting], timeout=LAST_S)
            self._waiting.cancel()
            await asyncio.wait([self._waiting])
        await self._shipper.stop()
        await self._records.close()

    async def _start_behind(self, before: Callable[[], Awaitable[bool]]) -> None:
        if await before():
            self._shipper.start()
