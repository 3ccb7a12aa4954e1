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
"""Seconds of rest for each that a piece took: a quarter of a core at most goes into this beside requests."""

Write = Callable[[Sequence[Kept], int, Place], Awaitable[None]]
"""Hands a piece on before it returns; done when that is on disk."""


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
    """Written in the order in which it was put. Nothing waits here longer than the process lives: see `finish`."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._pieces: deque[_Piece] = deque()
        self._bytes = 0
        self._complete = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether all that was put has been handed on."""
        return not self._pieces

    async def put(self, rows: Sequence[Kept], since: int, place: Place, *, complete: bool) -> None:
        """What changed between a version and a place; with `complete` nothing of the load is left to come."""
        piece = _Piece(_aside(_encode(_sorted(rows))), since, place)
        self._pieces.append(piece)
        self._bytes += len(piece.rows)
        if complete:
            self._complete.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="key backlog")
        while self._bytes > MOST_BYTES:
            await self._next()

    def drop(self) -> None:
        """Forgets what was put."""
        self._pieces.clear()
        self._bytes = 0
        self._complete.clear()

    async def finish(self) -> None:
        """Hands on all that was put, without rest."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        while self._pieces:
            await self._next()

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
        write = self._write([*rows.keys, *rows.teams, *rows.tokens], piece.since, piece.place)
        await asyncio.shield(write)  # handed on is handed on, whoever waits for it


def _aside(text: bytes) -> mmap.mmap:
    """The text outside the heap: it is large and leaves no hole when it goes."""
    area = mmap.mmap(-1, len(text))
    area.write(text)
    return area


def _sorted(rows: Sequence[Kept]) -> _Rows:
    sorted = _Rows([], [], [])
    for row in rows:
        if isinstance(row, KeptKey):
            sorted.keys.append(row)
        elif isinstance(row, KeptTeam):
            sorted.teams.append(row)
        else:
            sorted.tokens.append(row)
    return sorted
