"""A `data_dir` that was lost: limits go on from what the store knows, of which native is told once, before anything is
shipped: what the store has of this process would count twice.

A file says that this is to be done, until what native was told is on disk, too: whatever ends the process meanwhile,
the next one begins with it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

from penstock.audit.journals import instances
from penstock.observe.logs import Log
from penstock.store.interface import StoreError

if TYPE_CHECKING:
    from penstock.limits.earlier import Used

LIMITS = "limits"
MARK = "limits.incomplete"
REASON = "limits: what was used before data_dir was lost is not known yet"
WRITTEN_S = 5.0
"""By then native has written what it was told."""
FIRST_S, LONGEST_S = 0.2, 30.0
"""Between tries while the store is away."""
DEGRADED_S = 10.0


class EarlierEngine(Protocol):
    """What native is told by."""

    def limits_earlier(self, used: bytes) -> None: ...


def mark_if_lost(data_dir: str, own: str) -> bool:
    """Whether nothing here tells what limits have used, or told it completely; before native begins to write. `own` is
    the instance of this process. Raises OSError.
    """
    mark = os.path.join(data_dir, MARK)
    if os.path.exists(mark):
        return True
    others = [path for path in instances(data_dir) if os.path.basename(path) != own]
    if others or os.path.exists(os.path.join(data_dir, LIMITS)):
        return False
    os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return True


class Lost:
    """Tells native once what the store knows."""

    def __init__(
        self,
        gather: Callable[[], Awaitable[list[Used]]],
        data_dir: str,
        engine: EarlierEngine,
        log: Log,
        *,
        is_ready: Callable[[], bool],
        degraded: Callable[[list[str]], None],
    ) -> None:
        """`gather` asks the store; `is_ready`: native knows all keys that there are, and so their limits."""
        self._gather, self._engine, self._log = gather, engine, log
        self._mark, self._limits = os.path.join(data_dir, MARK), os.path.join(data_dir, LIMITS)
        self._is_ready, self._degraded = is_ready, degraded
        self._stopping = asyncio.Event()

    async def complete(self) -> None:
        """Returns once native was told and has had time to write it, however long the store is away."""
        used = await self._ask()
        gone = self._mark
        if used and self._stopping.is_set():
            # Too late for native. All of this process goes to the store now: the next one has it from there alone.
            gone = self._limits
        elif used:
            self._engine.limits_earlier(msgspec.json.encode(used))
            self._log.warning("data_dir is new: limits go on from the sums of the store", sums=len(used))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WRITTEN_S):
                    await self._stopping.wait()
        with contextlib.suppress(OSError):
            os.unlink(gone)

    def stop(self) -> None:
        """Native has written its last word."""
        self._stopping.set()

    async def _ask(self) -> list[Used]:
        loop = asyncio.get_running_loop()
        began, pause_s, is_degraded = loop.time(), FIRST_S, False
        try:
            while True:
                with contextlib.suppress(StoreError):
                    if self._is_ready():
                        return await self._gather()
                if not is_degraded and loop.time() - began > DEGRADED_S:
                    is_degraded = True
                    self._degraded([REASON])
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_S)
        finally:
            if is_degraded:
                self._degraded([])
