"""What a store lacks of one journal: the next piece of it, shipped with the watermark."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol

from msgspec.structs import replace

from penstock.audit.journals import changed_us, segment_bytes
from penstock.audit.packer import Packer
from penstock.engine import OpenRows, Rows
from penstock.instance import day_of, is_live
from penstock.store.interface import StoreError
from penstock.store.records import Watermark
from penstock.times import DAY_US

ALL = 2**64 - 1
"""The segment behind the last one of a journal that has ended."""


class Taker(Protocol):
    """What shipping needs of the store's records."""

    async def watermarks(self, instances: list[str]) -> Mapping[str, Watermark]: ...
    async def ship(
        self,
        rows: Rows | None,
        before: Watermark | None,
        after: Watermark,
        *,
        days: list[int],
        interrupted: list[int],
    ) -> bool: ...


class Unshipped:
    """The journal of this process (`own`), or of one that is gone."""

    def __init__(
        self, path: str, taker: Taker, packer: Packer, open_rows: OpenRows, *, most_bytes: int, own: bool = False
    ) -> None:
        self.path, self.instance = path, os.path.basename(path)
        self.records = 0
        """Of finished requests, shipped from here."""
        self.oldest_us = 0
        """When the oldest one ended that is known not to be shipped; 0: there is none."""
        self.is_done = False
        """All there will ever be is in the store."""
        self.most_bytes = most_bytes
        """What a step ships, about."""
        self.failures = 0
        """How often in a row it was refused."""
        self.retry_at = 0.0
        """Until then it is put off, by the loop's clock; 0: it is not."""
        self._own, self._taker, self._packer = own, taker, packer
        self._reader = open_rows(path)
        self._mark: Watermark | None = None
        self.is_known = own
        """Where it stands in the store: nobody else ships a journal whose process lives."""
        self._doubtful: tuple[Watermark, int] | None = None

    @property
    def segment(self) -> int:
        """All before it is in the store."""
        return ALL if self.is_done else self._mark.segment if self._mark else 0

    def left_bytes(self) -> int:
        """Bytes on disk that are not shipped, whole segments."""
        return sum(size for number, size in segment_bytes(self.path) if number >= self.segment)

    def learn(self, mark: Watermark | None) -> None:
        """What the store says, asked anew after it fell silent, or somebody else had shipped."""
        if self._doubtful is not None and self._doubtful[0] == mark:
            self.records += self._doubtful[1]
        self._mark, self.is_known, self._doubtful = mark, True, None
        self.is_done = mark is not None and mark.ended

    async def step(self, days: tuple[int, int], *, hurry: bool = False) -> bool:
        """Ships its next bytes; whether there is more. `days` are the first and last that a row may have, by the
        clock here; `hurry`: others do not go first.

        Raises `StoreError`, and OSError where the journal cannot be read.
        """
        live = self._own or is_live(self.path)
        rows = await self._packer.run(lambda: self._read(live, days, hurry))
        self.oldest_us = rows.oldest_us
        ends = rows.at_end and (not live or rows.ended)
        if not rows.count and (not ends or self._mark is None):
            self.is_done = ends  # it left nothing
            return not rows.at_end
        after = self._after(rows, ends)
        self.is_known, self._doubtful = False, (after, rows.records)
        try:
            moved = await self._ship(rows, after, ends)
        except StoreError as error:
            if not getattr(error, "in_doubt", False):
                self._doubtful = None
            raise
        if moved:
            self.learn(after)
            self.oldest_us = 0 if rows.at_end else self.oldest_us
        return not (moved and rows.at_end)

    async def _ship(self, rows: Rows, after: Watermark, ends: bool) -> bool:
        interrupted = rows.interrupted() if ends else []
        packed = rows if rows.count else None
        return await self._taker.ship(packed, self._mark, after, days=rows.days, interrupted=interrupted)

    def _read(self, live: bool, days: tuple[int, int], hurry: bool) -> Rows:
        mark = self._mark
        last = days[1] if self._own else max(days[1], self._last_day())
        if mark is None:
            first = min(max(days[0], day_of(self.instance)), last)
            return self._reader.rows((0, 0, 0), self.most_bytes, live, (first, last), b"", spare=not hurry)
        place = (mark.segment, mark.offset, mark.sequence)
        span = (max(days[0], mark.day), last)
        return self._reader.rows(place, self.most_bytes, live, span, mark.begun, spare=not hurry)

    def _last_day(self) -> int:
        """The last that a row may have by the clock of its own process: the one here may be behind, and rows of a day
        that is long over go at once. Who took the journal up may have changed it last, so its name counts, too."""
        return max(day_of(self.instance), changed_us(self.path) // DAY_US) + 1

    def _after(self, rows: Rows, ends: bool) -> Watermark:
        if not rows.count and self._mark is not None:
            return replace(self._mark, ended=ends)
        return Watermark(
            instance=self.instance, segment=rows.segment, offset=rows.offset, sequence=rows.sequence, hash=rows.hash,
            day=rows.day, ended=ends, begun=b"" if ends else rows.begun,
        )  # fmt: skip
