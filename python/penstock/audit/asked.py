"""Records that are asked for: those of the store, and those of this data_dir's journals that it does not have yet.

A journal is read from its watermark on. The watermarks are read first, then the journals, then the store: what is
shipped meanwhile is found twice and shown once, and nothing is missed.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from penstock.audit.beyond import MOST_S, Beyond, private_of
from penstock.audit.choice import Choice
from penstock.audit.journals import OpenJournal, Row
from penstock.audit.record import (
    BEGIN,
    INTERRUPTED,
    interrupted,
    read_begin,
    read_private,
    read_private_head,
    read_record,
)
from penstock.audit.room import Room
from penstock.engine import open_journal
from penstock.store.asking import AT_ONCE, Asking, Stored, read_begun
from penstock.store.asking_statements import Place
from penstock.store.open import ALONE_S
from penstock.store.records import Watermark

T = TypeVar("T")


class Page(NamedTuple):
    """Records in the order that was asked for."""

    rows: list[Row]
    after: Place | None
    """Where the next page begins; None: this is the last one."""
    partial: bool
    """The journals here hold so much that the store does not have that some of it was passed over, or one cannot be
    read.
    """


class Asked:
    """What one node knows: the store, if it takes records, and the journals of a `data_dir`.

    Every method may raise `StoreError`, or OSError when it cannot be told which journals there are.
    """

    def __init__(
        self,
        store: Asking | None,
        data_dir: str,
        open_journal: OpenJournal = open_journal,
        *,
        most_s: float = MOST_S,
        within_s: float = ALONE_S,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`most_s`: how long journals may be read for one answer; `within_s`: how long all of an answer may take for
        whom `room` takes in; `report` is told of a journal that cannot be read, once until it can be.
        """
        self.store = store
        self.room = Room(within_s)
        self._data_dir, self._open, self._most_s, self._report = data_dir, open_journal, most_s, report
        self._reported: set[str] = set()
        self._reading = ThreadPoolExecutor(1, "penstock-asked")

    async def close(self) -> None:
        """Lets go of the store's connections, and of who reads journals."""
        self._reading.shutdown(wait=False, cancel_futures=True)
        if self.store is not None:
            await self.store.close()

    async def page(self, choice: Choice, *, newest: bool, after: Place | None, limit: int) -> Page:
        """At most `limit` records by the time at which they began, behind `after`."""
        here = await self.beyond()
        rows = await self.read(here, lambda: _first(here, choice, newest, after, limit + 1))
        found = {(row.instance, row.sequence): row for row in rows}
        if self.store is not None:
            for stored in await self.store.page(choice, newest, after, limit + 1):
                found[stored.instance, stored.sequence] = as_row(stored, whole=choice.whole)
        rows = sorted(found.values(), key=place_of, reverse=newest)[: limit + 1]
        return Page(rows[:limit], place_of(rows[limit - 1]) if len(rows) > limit else None, here.partial)

    async def everything(self, choice: Choice) -> AsyncIterator[Row]:
        """All of it: what the store has, the oldest first; then journal by journal what it does not have."""
        here = await self.beyond()
        broken_off: set[tuple[str, int]] = set()  # the store may know of some that its watermarks do not tell of yet
        if self.store is not None:
            async for row in self._stored(self.store, choice, here):
                if row.record.outcome == INTERRUPTED:
                    broken_off.add((row.instance, row.sequence))
                yield row
        for row in here.rows(choice.since_us):
            if choice.takes(row.record) and (row.instance, row.sequence) not in broken_off:
                yield row
        self._tell(here)

    async def beyond(self) -> Beyond:
        """What the journals have and the store does not."""
        here = Beyond(self._data_dir, self._open, most_s=self._most_s)
        await here.look(self.store)
        return here

    async def read(self, here: Beyond, work: Callable[[], T]) -> T:
        """What `work` makes of `here`, off the loop, one at a time: no other thread waits behind it."""
        made = await asyncio.get_running_loop().run_in_executor(self._reading, work)
        self._tell(here)
        return made

    def _tell(self, here: Beyond) -> None:
        for each in here.unread:
            if each not in self._reported:
                self._report(each)
        self._reported = set(here.unread)

    async def _stored(self, store: Asking, choice: Choice, here: Beyond) -> AsyncIterator[Row]:
        """All that is chosen up to watermarks that are then in `here`: what was shipped meanwhile, and may be in no
        journal any more, comes last.
        """
        before, seen, after = here.marks, set(), None
        ours = frozenset(here.instances)  # of others nothing comes a second time
        while page := await store.page(choice, False, after, AT_ONCE):
            for each in page:
                mark = before.get(each.instance)
                is_new = mark is None or each.sequence > mark.sequence or each.kind == BEGIN
                if is_new and each.instance in ours:
                    seen.add((each.instance, each.sequence))
                yield as_row(each, whole=choice.whole)
            if len(page) < AT_ONCE:
                break
            after = place_of(as_row(page[-1], whole=False))
        await here.look(store)
        for instance, mark in here.marks.items():
            async for row in _shipped_since(store, before.get(instance), mark):
                if choice.takes(row.record) and (row.instance, row.sequence) not in seen:
                    yield row


async def _shipped_since(store: Asking, before: Watermark | None, now: Watermark) -> AsyncIterator[Row]:
    """The requests that came to the store between two watermarks of an instance."""
    if before is not None and now.ended and not before.ended:
        for stored, outcome in await store.rows_of(now.instance, read_begun(before)):
            if outcome is not None:
                yield as_row(stored)
    sequence = before.sequence if before else 0
    while sequence < now.sequence:
        most = min(now.sequence, sequence + AT_ONCE)
        for stored, outcome in await store.rows_of(now.instance, range(sequence + 1, most + 1)):
            if outcome is not None:
                yield as_row(stored)
        sequence = most


def place_of(row: Row) -> Place:
    """Where a record stands in the order of time."""
    return Place(row.record.started_us, row.instance, row.sequence)


def as_row(stored: Stored, *, whole: bool = True) -> Row:
    """A record from the entry that the store has of it, with its texts or without."""
    read = read_private if whole else read_private_head
    hidden = private_of(stored)
    record = interrupted(read_begin(stored.public)) if stored.kind == BEGIN else read_record(stored.public)
    return Row(stored.instance, stored.sequence, record, None if hidden is None else read(hidden))


def _first(here: Beyond, choice: Choice, newest: bool, after: Place | None, most: int) -> list[Row]:
    """The first so many that are chosen, in their order."""
    chosen = (row for row in here.some_rows(choice.since_us) if choice.takes(row.record))
    behind = (row for row in chosen if after is None or _is_behind(place_of(row), after, newest))
    pick = heapq.nlargest if newest else heapq.nsmallest
    return pick(most, behind, key=place_of)


def _is_behind(place: Place, after: Place, newest: bool) -> bool:
    return place < after if newest else place > after
