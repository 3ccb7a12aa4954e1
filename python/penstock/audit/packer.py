"""A thread that reads and packs beside the loop.

It has the priority of the loop's, as it holds the interpreter's lock now and then, for which the loop would wait: on a
busy machine an idle thread may not run for long. What needs no Python native does at the lowest priority by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

ResultT = TypeVar("ResultT")


class Packer:
    """One piece of work at a time."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "penstock-ship")

    async def run(self, work: Callable[[], ResultT]) -> ResultT:
        """What `work` gives, or raises."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Waits for nothing."""
        self._pool.shutdown(wait=False, cancel_futures=True)
