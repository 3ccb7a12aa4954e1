"""Whether the rows of a store are what the journals had: every entry there, unchanged, once, in its order."""

from __future__ import annotations

import hashlib
import struct
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct

from penstock.audit.journals import keep_begun
from penstock.audit.record import BEGIN, GAP, INTERRUPTED, RECORD, Begin, Record, read_begin, read_record
from penstock.store.asking import Asking
from penstock.store.records import Watermark

_OUTCOME, _TAGS = 9, 11
"""Places among the columns."""
_HEAD = struct.Struct("<BBxxIQ")
_FIRST = -(1 << 63)
"""Before any number that a row can have: there is none before entry 1."""
_ROUNDS = 10
"""So often rows are read that came while rows were read."""
_gap = msgspec.msgpack.Decoder(list[object]).decode
_tags = msgspec.json.Decoder(dict[str, str]).decode


class Head(Struct, frozen=True):
    """Where a chain stood; kept elsewhere it shows later whether anything before it was changed."""

    instance: str
    sequence: int
    hash: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    """64 hexadecimal digits."""


class Report(Struct, kw_only=True):
    """What was found of one instance in the store."""

    instance: str
    entries: int = 0
    records: int = 0
    lost: int = 0
    """Entries that the journal itself says were not written."""
    removed: int = 0
    """Entries at its beginning that are gone: by age, as far as can be told."""
    ended: bool = False
    """Its process is gone, and all of its journal is in the store."""
    head: Head | None = None
    fault: str | None = None
    """The first one in words."""
    first_day: int | None = None


class Entry(NamedTuple):
    """A row, its columns in the order of `asking_statements.CHECKED`."""

    day: int
    sequence: int
    kind: int
    hash: bytes
    digest: bytes | None
    private: bytes | None
    public: bytes
    columns: tuple[Any, ...]


async def verify(store: Asking, heads: Collection[Head] = ()) -> list[Report]:
    """One report an instance, in the order of their starts. Raises `StoreError`."""
    marks = await store.all_marks()  # before the rows: what is shipped meanwhile may be among them
    names = set(await store.instances())
    reports = []
    for instance in sorted(names | marks.keys()):
        kept = {head.sequence: head.hash for head in heads if head.instance == instance}
        chain = _Chain(instance, marks.get(instance), kept)
        if instance in names:
            await _follow(store, chain)
            await chain.close(store)
        reports.append(chain.report)
    for report in reports:
        mark = marks.get(report.instance)
        if mark is not None and report.entries == 0 and report.fault is None:
            await _judge_empty(store, report, mark, reports)
    return reports


async def _follow(store: Asking, chain: _Chain) -> None:
    """Reads rows until there are no more, or one is wrong."""
    while chain.report.fault is None:
        # From the last one on, once more: another row of its number would be beside it.
        rows = await store.entries(chain.report.instance, chain.sequence if chain.report.entries else _FIRST)
        if await _have_gone(store, chain, rows):
            chain.begin_anew()
            continue
        is_last = len(rows) < 2 or rows[-1][1] == chain.sequence
        known = bool(rows) and 0 < chain.sequence == rows[0][1]
        for row in rows[1:] if known else rows:
            if not chain.add(_entry(row)):
                return
        if is_last:
            return


async def _have_gone(store: Asking, chain: _Chain, rows: Sequence[Sequence[Any]]) -> bool:
    """Whether these rows do not follow since all up to there went from the beginning, as by age, after it was read."""
    if chain.report.entries == 0 or (rows and rows[0][1] <= chain.sequence + 1):
        return False
    left = await store.entries(chain.report.instance, _FIRST)
    return not left or left[0][1] > chain.sequence


def _entry(row: Sequence[Any]) -> Entry:
    day, sequence, kind, hash, digest, private, public = row[:7]
    return Entry(day, sequence, kind, hash, digest, private, public, tuple(row[7:]))


async def _judge_empty(store: Asking, report: Report, mark: Watermark, others: Sequence[Report]) -> None:
    """An instance of which nothing is left: that is so of all of its age, or of none."""
    if await _is_older_left(store, others, mark.day):
        report.fault = f"entries up to {mark.sequence} are missing, and older ones of others are there"
    else:
        report.removed = mark.sequence


async def _is_older_left(store: Asking, reports: Sequence[Report], day: int) -> bool:
    """Whether there are rows of before a day yet: those that were read may have gone since."""
    for report in reports:
        if report.first_day is not None and report.first_day < day:
            rows = await store.entries(report.instance, _FIRST)
            if rows and rows[0][0] < day:
                return True
    return False


class _Chain:
    """One instance, row by row."""

    def __init__(self, instance: str, mark: Watermark | None, heads: Mapping[int, str]) -> None:
        self.sequence = 0
        self.report = Report(instance=instance, ended=mark.ended if mark else False)
        self._mark, self._heads = mark, heads
        self._hash: bytes | None = hashlib.sha256(b"penstock journal " + instance.encode()).digest()
        self._day = -(1 << 31)
        self._begun: OrderedDict[int, tuple[int, str | None]] = OrderedDict()

    def add(self, entry: Entry) -> bool:
        """The next row; `False`: something is wrong with it, which is the report's fault."""
        report = self.report
        if report.entries == 0 and entry.sequence > 1:
            report.removed = entry.sequence - 1
            kept = self._heads.get(report.removed)
            # What it follows is gone; but for a head of it that was kept.
            self.sequence, self._hash = report.removed, bytes.fromhex(kept) if kept else None
        report.fault = self._order(entry) or self._chain(entry) or self._content(entry)
        if report.fault is not None:
            return False
        report.entries += 1
        if report.first_day is None:
            report.first_day = entry.day
        self.sequence, self._hash, self._day = entry.sequence, entry.hash, entry.day
        report.head = Head(report.instance, entry.sequence, entry.hash.hex())
        return True

    def begin_anew(self) -> None:
        """With what is left: all that was read has gone since, and is counted when the next row comes."""
        report = self.report
        report.entries = report.records = report.lost = 0
        report.head = report.first_day = None
        self._begun.clear()

    async def close(self, store: Asking) -> None:
        """After the last row: does it end where the store says, and are the streams that broke off marked?"""
        report = self.report
        if report.fault is not None:
            return
        mark = self._mark
        if mark is not None and mark.ended and self.sequence > mark.sequence:
            report.fault = f"entry {mark.sequence + 1} stands behind the end"
            return
        for _ in range(_ROUNDS):
            if report.entries == 0 or (mark is not None and self.sequence <= mark.sequence):
                break
            # Shipped meanwhile: rows and watermark move together, and this one is read behind the rows.
            mark = (await store.marks([report.instance])).get(report.instance)
            if mark is None:
                report.fault = "there are rows, and no watermark"
            elif self.sequence > mark.sequence:
                report.fault = f"entry {mark.sequence + 1} stands behind the watermark"
            elif self.sequence < mark.sequence:
                await _follow(store, self)
            if report.fault is not None:
                return
        if report.entries == 0:
            return  # all of it has gone since it was listed
        if mark is not None and self.sequence < mark.sequence:
            report.fault = f"entries {self.sequence + 1} to {mark.sequence} are missing: the store has had them"
        elif mark is not None and self.sequence == mark.sequence and self._hash != mark.hash:
            report.fault = f"entry {mark.sequence} is not the one of the watermark"
        if report.fault is None and self._mark is not None and self._mark.ended:
            open_ones = sorted(sequence for sequence, outcome in self._begun.values() if outcome != INTERRUPTED)
            if open_ones:
                report.fault = f"entry {open_ones[0]} was changed: its stream broke off, and its row does not say so"

    def _order(self, entry: Entry) -> str | None:
        following = self.sequence + 1
        if entry.sequence < 1:
            return f"entry {entry.sequence} is none: the first is 1"
        if entry.sequence < following:
            return f"entry {entry.sequence} stands twice"
        if entry.sequence > following:
            last = entry.sequence - 1
            return (
                f"entry {following} is missing" if last == following else f"entries {following} to {last} are missing"
            )
        if entry.day < self._day:
            return f"entry {entry.sequence} is out of order: its day is before that of the entry before it"
        return None

    def _chain(self, entry: Entry) -> str | None:
        number = entry.sequence
        if entry.private is not None and (
            entry.digest is None or hashlib.sha256(entry.private).digest() != entry.digest
        ):
            return f"entry {number} was changed: its private part"
        if self._hash is not None and hash_of(entry, self._hash) != entry.hash:
            return f"entry {number} was changed"
        kept = self._heads.get(number)
        if kept is not None and kept != entry.hash.hex():
            return f"entry {number} or one before it was changed: its head was kept"
        return None

    def _content(self, entry: Entry) -> str | None:
        """Whether the columns say what the entry does."""
        report, number = self.report, entry.sequence
        changed = f"entry {number} was changed: its columns are not what it says"
        try:
            if entry.kind == RECORD:
                record = read_record(entry.public)
                report.records += 1
                begun = self._begun.pop(record.number, None)
                if begun is not None and begun[1] is not None:
                    return (
                        f"entry {begun[0]} was changed: its row says that it broke off, and entry {number} is its end"
                    )
                return None if columns_of(record) == _plain(entry.columns) else changed
            if entry.kind == BEGIN:
                begin = read_begin(entry.public)
                found = _plain(entry.columns)
                keep_begun(self._begun, begin.number, (number, found[_OUTCOME]))
                return None if found in (columns_begun(begin, False), columns_begun(begin, True)) else changed
            if entry.kind == GAP:
                report.lost += _lost(entry.public)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return f"entry {number} cannot be read"
        return None if not any(each is not None for each in entry.columns) else changed


def hash_of(entry: Entry, previous: bytes) -> bytes:
    """The hash of an entry behind another, as native/core/src/journal/entry.rs makes it."""
    has_private = entry.digest is not None
    head = _HEAD.pack(entry.kind, has_private, len(entry.public), entry.sequence)
    return hashlib.sha256(head + previous + entry.public + (entry.digest or b"")).digest()


def columns_of(record: Record) -> tuple[Any, ...]:
    """What the columns of a record's row hold."""
    total_us = record.phases.total_us if record.phases else None
    numbers = [_bounded(each) for each in (*_tokens_of(record), record.cost_nanousd, total_us)]
    tags = _storable_tags(record.tags)
    return (
        _bounded(record.number), _bounded(record.started_us), _bounded(record.count, 31),
        *map(_storable, (record.request_id, record.key_id, record.team, record.model, record.target)),
        record.status, record.outcome, _storable(record.error), tags, *numbers,
    )  # fmt: skip


def _tokens_of(record: Record) -> tuple[int | None, ...]:
    """As native/core/src/observe/record_read.rs tells them: 0 where nobody knows how much is to be paid for."""
    if usage := record.usage:
        return (
            usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.cache_write_tokens,
            usage.reasoning_tokens, usage.audio_tokens, usage.image_tokens,
        )  # fmt: skip
    return (0 if record.unpriced == 1 else None, *(None,) * 6)


def columns_begun(begin: Begin, is_interrupted: bool) -> tuple[Any, ...]:
    """What the columns of a begin's row hold, before its process is known to be gone and after."""
    status, count, outcome = (200, 1, INTERRUPTED) if is_interrupted else (None, None, None)
    texts = map(_storable, (begin.request_id, begin.key_id, begin.team, begin.model, begin.target))
    known = (_bounded(begin.number), _bounded(begin.started_us), count, *texts)
    return (*known, status, outcome, None, _storable_tags(begin.tags), *(None,) * 9)


def _storable_tags(tags: dict[str, str] | None) -> dict[str, str] | None:
    return {_storable(name): _storable(value) for name, value in tags.items()} if tags else None


TextT = TypeVar("TextT", str, str | None)


def _storable(text: TextT) -> TextT:
    """No column holds a NUL."""
    return text if text is None else text.replace("\0", "\ufffd")


def _bounded(number: int | None, bits: int = 63) -> int | None:
    """A number that is too large is the largest."""
    return None if number is None else min(number, (1 << bits) - 1)


def _plain(columns: Sequence[Any]) -> tuple[Any, ...]:
    """Tags come as JSON."""
    tags = columns[_TAGS]
    return (*columns[:_TAGS], _tags(tags) or None if tags is not None else None, *columns[_TAGS + 1 :])


def _lost(public: bytes) -> int:
    values = _gap(public)
    return values[1] if len(values) > 1 and isinstance(values[1], int) else 0
