"""Threads that read and pack off the loop: at the lowest priority, or at Python's where there is too much to ship."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from penstock.priority import go_last

ResultT = TypeVar("ResultT")


class Packer:
    """A thread of each priority, made when it is first needed: one that goes last may not take that back."""

    def __init__(self) -> None:
        self._last = ThreadPoolExecutor(1, "penstock-ship", initializer=go_last)
        self._hurried = ThreadPoolExecutor(1, "penstock-ship-now")

    async def run(self, work: Callable[[], ResultT], *, hurry: bool = False) -> ResultT:
        """What `work` gives, or raises."""
        return await asyncio.get_running_loop().run_in_executor(self._hurried if hurry else self._last, work)

    def close(self) -> None:
        """Waits for nothing."""
        for pool in (self._last, self._hurried):
            pool.shutdown(wait=False, cancel_futures=True)
