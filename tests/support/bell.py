"""What a watch of a store wakes in a test."""

from __future__ import annotations

import asyncio

DEADLINE_S = 5.0


class Bell:
    """Counts how often it was rung."""

    def __init__(self) -> None:
        self.rung = 0
        self._event = asyncio.Event()

    def ring(self) -> None:
        self.rung += 1
        self._event.set()

    async def heard(self) -> None:
        """Until it rings again."""
        async with asyncio.timeout(DEADLINE_S):
            await self._event.wait()
        self._event.clear()
