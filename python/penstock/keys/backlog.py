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
from penstock.observe.logs import Log

MOST_BYTES = 32 << 20
"""What may wait: some 180,000 keys. From then on each further piece waits for an earlier one to be written."""
HOLD_S = 5.0
"""The longest that a load keeps all of its pieces from the disk."""
REST = 3.0
"""Seconds of rest for each that a piece took, `HOLD_S` at most: as long as nobody waits, a quarter of a core goes into
this."""
FINISH_S = 10.0
"""The longest that anybody waits for what came before; what a disk has in hand that hangs comes on top."""

Write = Callable[[Sequence[Kept], int, Place], Awaitable[None]]
"""Hands a piece on before it returns; done when that is on disk. To wait no more does not take it back."""
Step = Callable[[], Awaitable[None] | None]
"""The same of anything else."""


class _Rows(Struct, frozen=True, array_like=True):
    keys: list[KeptKey]
    teams: list[KeptTeam]
    tokens: list[AdminToken]


class _Piece(NamedTuple):
    rows: mmap.mmap
    """In JSON, which takes less memory than objects do."""
    since: int
    place: Place


# As with a write that fails, later ones do not go past what is missing.
MISSING = "keys are missing in data_dir: the next start loads them from the store"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Rows).decode


class Backlog:
    """A line before the disk: all is handed on in the order in which it came, one after the other.

    By itself, with rests; or without, as long as somebody waits for it.
    """

    def __init__(self, write: Write, log: Log) -> None:
        self._write, self._log = write, log
        self._line: deque[_Piece | Step] = deque()
        self._came = self._done = self._bytes = 0
        self._turn = asyncio.Lock()
        self._in_hand: asyncio.Future[None] | None = None
        self._complete = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether all has been handed on."""
        return not self._line

    async def put(self, rows: Sequence[Kept], since: int, place: Place, *, complete: bool) -> None:
        """What changed between a version and a place; with `complete` nothing of the load is left to come."""
        area = _aside(_encode(_by_kind(rows)))
        self._bytes += len(area)
        self._enter(_Piece(area, since, place))
        if complete:
            self._complete.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="key backlog")
        while self._bytes > MOST_BYTES:
            await self._next(lambda: self._bytes > MOST_BYTES)

    def leave(self, step: Step) -> None:
        """Takes a step behind all that came before: at once where nothing waits."""
        if self._line:
            self._enter(step)
        else:
            step()

    async def take(self, step: Step) -> bool:
        """The same without rest, and waits for the step too. False when that takes too long: it is still to come."""
        if self._line:
            self._enter(step)
            return await self.finish()
        if (done := step()) is not None:
            await done
        return True

    def drop(self) -> None:
        """Forgets what waits. Nobody waits for it any more."""
        self._line.clear()
        self._done = self._came
        self._bytes = 0
        self._complete.clear()

    async def finish(self) -> bool:
        """Hands on all that came until now, without rest. False when that took too long, and some is left."""
        upto = self._came
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FINISH_S):
                while self._done < upto:
                    await self._next(lambda: self._done < upto)
        return self._done >= upto

    def close(self) -> None:
        """Nothing is handed on by itself any more."""
        if self._task is not None:
            self._task.cancel()

    def _enter(self, what: _Piece | Step) -> None:
        self._line.append(what)
        self._came += 1

    async def _run(self) -> None:
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HOLD_S):
                    await self._complete.wait()
            while self._line:
                took_s = await self._next(lambda: True)
                await asyncio.sleep(min(HOLD_S, REST * took_s))
        finally:
            self._complete.clear()
            self._task = None

    async def _next(self, is_wanted: Callable[[], bool]) -> float:
        """Hands one on and waits for it, if that is still wanted when it is its turn; how many seconds it took."""
        async with self._turn:
            if self._in_hand is not None:
                await asyncio.shield(self._in_hand)  # of somebody who was given up
            if not self._line or not is_wanted():
                return 0.0
            began, what = time.monotonic(), self._line.popleft()
            begun = self._begin(what)
            self._in_hand = asyncio.ensure_future(self._end(begun, self._came - len(self._line)))
            await asyncio.shield(self._in_hand)
            return time.monotonic() - began

    def _begin(self, what: _Piece | Step) -> Awaitable[None] | None:
        try:
            return self._hand_on(what) if isinstance(what, _Piece) else what()
        except Exception as error:  # it holds up no other, and is nobody else's
            self._log.error(f"{MISSING}: {error!r}")
            return None

    async def _end(self, begun: Awaitable[None] | None, came: int) -> None:
        try:
            if begun is not None:
                await begun
        except Exception as error:
            self._log.error(f"{MISSING}: {error!r}")
        finally:
            self._done = max(self._done, came)
            self._in_hand = None

    def _hand_on(self, piece: _Piece) -> Awaitable[None]:
        with piece.rows as area:
            self._bytes -= len(area)
            rows = _decode(area)
        return self._write([*rows.keys, *rows.teams, *rows.tokens], piece.since, piece.place)


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
