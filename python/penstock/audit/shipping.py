"""All that records need in a serving process on their way to the store, wired: shipper and retention."""

from __future__ import annotations

from collections.abc import Callable

from penstock.audit.retention import Retention
from penstock.audit.shipper import Shipper, ShippingEngine
from penstock.engine import OpenRows
from penstock.observe.logs import Log
from penstock.store.records import Records


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
    ) -> None:
        self._records = records
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
        self._shipper.start()

    async def stop(self) -> None:
        """Once native has written the last record; ships it, if the store takes it soon."""
        await self._retention.stop()
        await self._shipper.stop()
        await self._records.close()
