"""A store of records in memory that is asked like the real ones, and goes away when a test wants it to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any

from penstock.audit.asked import as_row, place_of
from penstock.audit.choice import Choice
from penstock.audit.record import BEGIN, RECORD
from penstock.audit.sums import _add, _group, _has_status, _numbers, _summed, hour_of
from penstock.store.asking import AT_ONCE, Asking, Marks, Stored, Sum
from penstock.store.asking_statements import Place
from penstock.store.interface import StoreAwayError
from penstock.store.records import Watermark
from penstock.store.usage_statements import Question
from tests.support.stored_rows import Chain, Row


class FakeAsking(Asking):
    """Set `away` for an outage, `stuck` for answers that come once it is set. `before_rows` is called before pages and
    sums are made, and before entries are read. `whole`: whether texts were asked for, page by page."""

    def __init__(self) -> None:
        self.away = False
        self.rows: list[Row] = []
        self.known: dict[str, Watermark] = {}
        self.asked: list[str] = []
        self.before_rows: Callable[[], None] = lambda: None
        self.stuck: asyncio.Event | None = None
        self.whole: list[bool] = []

    def ship(self, chain: Chain, upto: int | None = None, *, ended: bool = False) -> None:
        """Takes a journal's rows as far as it has none of them yet."""
        there = self.known[chain.instance].sequence if chain.instance in self.known else 0
        rows = chain.rows[:upto]
        self.rows += rows[there:]
        last = rows[-1]
        ended_numbers = {row.columns[0] for row in rows if row.kind == RECORD}
        open_rows = [row for row in rows if row.kind == BEGIN and row.columns[0] not in ended_numbers]
        begun = b"".join(row.columns[0].to_bytes(8) + row.sequence.to_bytes(8) for row in open_rows)
        self.known[chain.instance] = Watermark(
            instance=chain.instance, segment=1, offset=last.sequence, sequence=last.sequence, hash=last.hash,
            day=last.day, ended=ended, begun=b"" if ended else begun,
        )  # fmt: skip

    async def close(self) -> None:
        self.asked.append("close")

    async def marks(self, instances: Collection[str]) -> Marks:
        self._enter("marks")
        return {name: self.known[name] for name in instances if name in self.known}

    async def all_marks(self) -> Marks:
        self._enter("all_marks")
        return dict(self.known)

    async def page(self, choice: Choice, newest: bool, after: Place | None, limit: int) -> Sequence[Stored]:
        self._enter("page")
        self.whole.append(choice.whole)
        if self.stuck is not None:
            await self.stuck.wait()
        self.before_rows()
        found = [_stored(row) for row in self.rows if row.columns[9] is not None]
        rows = sorted((place_of(as_row(each)), each) for each in found if choice.takes(as_row(each).record))
        chosen = [each for at, each in rows if after is None or (at < after if newest else at > after)]
        return (chosen[::-1] if newest else chosen)[:limit]

    async def sums(self, wanted: Question, limit: int, instances: Collection[str]) -> tuple[Sequence[Sum], Marks]:
        self._enter("sums")
        self.before_rows()
        found: dict[Any, Any] = {}
        narrow = Choice(key=wanted.key, team=wanted.team, model=wanted.model, target=wanted.target, tag=wanted.tag)
        for row in self.rows:
            if row.columns[9] is None:
                continue
            record = _summed(as_row(_stored(row)).record)
            in_time = wanted.since_hour <= hour_of(record.started_us) < wanted.until_hour
            if in_time and narrow.takes(record) and _has_status(record, wanted.statuses):
                _add(found, _group(record, wanted), _numbers(record))
        sums = sorted((at, of, numbers) for (at, of), numbers in found.items())
        return sums[:limit], {name: self.known[name] for name in instances if name in self.known}

    async def spend(self, key: str, today: int, month: int) -> tuple[int, ...]:
        self._enter(f"spend {key} {today} {month}")
        return (1, 20, 3_000_000, 0, 5, 60, 7_000_000_001, 1)

    async def instances(self) -> Sequence[str]:
        self._enter("instances")
        return sorted({row.instance for row in self.rows})

    async def rows_of(self, instance: str, sequences: Collection[int]) -> Sequence[tuple[Stored, str | None]]:
        self._enter("rows_of")
        wanted = set(sequences)
        found = [row for row in self.rows if row.instance == instance and row.sequence in wanted]
        return [(_stored(row), row.columns[9]) for row in sorted(found, key=lambda row: row.sequence)]

    async def entries(self, instance: str, sequence: int) -> Sequence[Sequence[Any]]:
        self._enter("entries")
        self.before_rows()
        found = [row for row in self.rows if row.instance == instance and row.sequence >= sequence]
        found.sort(key=lambda row: row.sequence)
        return [(row.day, *row.values[2:]) for row in found[:AT_ONCE]]

    def _enter(self, what: str) -> None:
        self.asked.append(what)
        if self.away:
            raise StoreAwayError("the fake store is away")


def _stored(row: Row) -> Stored:
    """What a page has of a row."""
    return Stored(row.instance, row.sequence, row.kind, row.public, row.private)
