"""Pieces of a load on their way to `data_dir`: native has them at once, the disk when requests can spare the time."""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct

from penstock.keys.cache import Place
from penstock.keys.model import AdminToken
from penstock.keys.rows import Kept, KeptKey, KeptTeam

MOST_BYTES = 32 << 20
"""What may wait: some 180,000 keys. From then on each further piece waits for an earlier one to be written."""
HOLD_S = 5.0
"""The longest that a load keeps all of its pieces from the disk."""
REST = 3.0
"""Seconds of rest for each that a piece took: as long as nobody waits, a quarter of a core goes into this at most."""
FINISH_S = 10.0
"""The longest that anybody waits for all that is left."""

Write = Callable[[Sequence[Kept], int, Place], Awaitable[None]]
"""Hands a piece on before it returns; done when that is on disk. To wait no more does not take it back."""


class _Rows(Struct, frozen=True, array_like=True):
    keys: list[KeptKey]
    teams: list[KeptTeam]
    tokens: list[AdminToken]


class _Piece(NamedTuple):
    rows: mmap.mmap
    """In JSON, which takes less memory than objects do."""
    since: int
    place: Place


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Rows).decode


class Backlog:
    """Written in the order in which it was put: by itself with rests, or without for whoever waits for it."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._pieces: deque[_Piece] = deque()
        self._bytes = 0
        self._steps: list[Callable[[], None]] = []
        self._complete = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether all that was put has been handed on."""
        return not self._pieces

    async def put(self, rows: Sequence[Kept], since: int, place: Place, *, complete: bool) -> None:
        """What changed between a version and a place; with `complete` nothing of the load is left to come."""
        area = _aside(_encode(_by_kind(rows)))
        self._pieces.append(_Piece(area, since, place))
        self._bytes += len(area)
        if complete:
            self._complete.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="key backlog")
        while self._bytes > MOST_BYTES:
            await self._next()

    def after(self, step: Callable[[], None]) -> None:
        """Takes a step once all that was put has been handed on: at once where nothing waits."""
        if self._pieces:
            self._steps.append(step)
        else:
            step()

    def drop(self) -> None:
        """Forgets what was put, and the steps behind it."""
        self._pieces.clear()
        self._steps.clear()
        self._bytes = 0
        self._complete.clear()

    async def finish(self) -> bool:
        """Hands on all that was put, without rest. False when that took too long, and some is left."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FINISH_S):
                while self._pieces:
                    await self._next()
        return not self._pieces

    def close(self) -> None:
        """Nothing is handed on by itself any more."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HOLD_S):
                    await self._complete.wait()
            while self._pieces:
                began = time.monotonic()
                await self._next()
                await asyncio.sleep(REST * (time.monotonic() - began))
        finally:
            self._complete.clear()
            self._task = None

    async def _next(self) -> None:
        piece = self._pieces.popleft()
        with piece.rows as area:
            self._bytes -= len(area)
            rows = _decode(area)
        written = self._write([*rows.keys, *rows.teams, *rows.tokens], piece.since, piece.place)
        if not self._pieces:
            steps, self._steps = self._steps, []
            for step in steps:
                step()
        await written


def _aside(text: bytes) -> mmap.mmap:
    """The text outside the heap: it is large and leaves no hole when it goes."""
    area = mmap.mmap(-1, len(text), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.write(text)
    return area


def _by_kind(rows: Sequence[Kept]) -> _Rows:
    found = _Rows([], [], [])
    for row in rows:
        if isinstance(row, KeptKey):
            found.keys.append(row)
        elif isinstance(row, KeptTeam):
            found.teams.append(row)
        else:
            found.tokens.append(row)
    return found
