"""One journal as a sink gets it: batches of objects, each with the place behind it; what is skipped is counted."""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, replace

from penstock.audit.journals import OpenJournal, Row, changed_us, keep_begun, last_segment
from penstock.audit.record import BEGIN, END, RECORD, Record, interrupted, read_begin, read_private, read_record
from penstock.audit.shown import as_object
from penstock.audit.sinks.interface import Object
from penstock.audit.sinks.position import Spot
from penstock.engine import open_journal
from penstock.instance import is_live

BATCH_BYTES = 256 << 10
"""What is read at a time: about a thousand entries."""
INTERRUPTED = 500
"""Streams that ended with their process, at a time."""


class Gap(Struct):
    """Entries of a journal that a sink is not given."""

    instance: str
    reason: str
    """`lag`: it was too slow. `missing`: they are no longer there. `unreadable`: a later release wrote them."""
    first_sequence: int
    last_sequence: int | None = None
    """None: nobody knows."""
    records: int = 0
    """How many records are among them; of `missing` ones at most so many, if their last is known."""


class Batch(NamedTuple):
    """What is given at a time."""

    objects: list[Object]
    records: int
    skipped: int
    """Records in gaps."""
    oldest_us: int
    """When the first of them ended, UTC."""
    spot: Spot
    """How far that is."""


class Shows(NamedTuple):
    """What a sink gets beside the public part of a record."""

    private: bool
    """The client's address and the end user."""
    texts: bool
    """Prompts and answers too."""


class Follower:
    """Reads one journal on from a spot."""

    def __init__(
        self, path: str, spot: Spot, *, max_lag_us: int, shows: Shows, open_journal: OpenJournal = open_journal
    ) -> None:
        self.instance = os.path.basename(path)
        self.spot = spot
        self._path, self._max_lag_us, self._shows = path, max_lag_us, shows
        self._reader = open_journal(path)
        self._open: OrderedDict[int, tuple[int, int, int]] = OrderedDict()
        """The newest `MOST_BEGUN` streams without a record: number → sequence, segment, offset of where they began."""
        self._is_restored = spot.sequence == 0
        self._pending: Batch | None = None

    def skip_to_end(self) -> None:
        """Leaves out what is there, of a journal that is older than the sink."""
        live = self._is_live()
        spot = Spot(segment=last_segment(self._path))
        ended = not live  # of that nothing comes
        while not ended:
            entries, segment, offset, ended = self._reader.read(spot.segment, spot.offset, BATCH_BYTES, live)
            sequence = entries[-1][1] if entries else spot.sequence
            spot = Spot(segment=segment, offset=offset, sequence=sequence, open_segment=segment)
        self.spot = replace(spot, is_done=not live, is_anywhere=spot.sequence == 0)
        self._is_restored = True

    def next(self, goes_on: Callable[[], bool]) -> Batch | None:
        """What is to be given now, the same until it was `taken`; None: nothing. Raises OSError."""
        if self._pending is None and not self.spot.is_done:
            self._pending = self._read(goes_on)
        return self._pending

    def taken(self) -> None:
        """The batch was given."""
        self._pending = None

    def _read(self, goes_on: Callable[[], bool]) -> Batch | None:
        before = self.spot
        try:
            return self._batch(goes_on)
        except BaseException:
            # What was read of it is read again: in no batch, and in no gap, it would be lost without a word.
            self.spot, self._open, self._is_restored = before, OrderedDict(), before.sequence == 0
            raise

    def _batch(self, goes_on: Callable[[], bool]) -> Batch | None:
        if not self._is_restored:
            self._restore()
        live = self._is_live()
        building = _Building(self.instance, self._horizon_us(), self._shows)
        ended = False
        while not ended and not building.objects and goes_on():
            entries, segment, offset, ended = self._reader.read(self.spot.segment, self.spot.offset, BATCH_BYTES, live)
            for entry in entries:
                self._follow(entry, building)
            self.spot = replace(self.spot, segment=segment, offset=offset)
        is_done = False
        if ended and not live:
            building.close()
            self._interrupted(building)
            is_done = not self._open
            if is_done and not self.spot.is_ended and last_segment(self._path) < self.spot.segment:
                building.lose(self.spot.sequence + 1)
        building.close()
        began = next(iter(self._open.values()), None)
        open_segment = began[1] if began else self.spot.segment
        self.spot = replace(self.spot, open_segment=open_segment, is_done=is_done, is_unread=False)
        return building.batch(self.spot) if building.objects or is_done else None

    def gone(self) -> Batch | None:
        """What is left to be given of a journal that is no longer there, or to be said of it; see `next`."""
        is_known = self.spot.is_done or self.spot.is_ended or (self.spot.sequence == 0 and not self.spot.is_unread)
        if self._pending is None and not is_known:
            lost = _lost(self.instance, self.spot.sequence + 1)
            self.spot = replace(self.spot, is_done=True)
            self._pending = Batch([lost], 0, 0, 0, self.spot)
        return self._pending

    def _follow(self, entry: tuple[int, int, int, int, bytes, bytes | None], building: _Building) -> None:
        kind, sequence, segment, offset, public, private = entry
        if sequence > self.spot.sequence + 1 and not self.spot.is_anywhere:
            first = self.spot.sequence + 1
            building.skip("missing", first, sequence - 1, sequence - first)
        try:
            record = self._note(kind, sequence, segment, offset, public)
            if record is not None:
                building.add(sequence, record, private)
        except msgspec.MsgspecError:
            building.skip("unreadable", sequence, sequence, 1)
        self.spot = replace(self.spot, sequence=sequence, is_ended=kind == END, is_anywhere=False)

    def _note(self, kind: int, sequence: int, segment: int, offset: int, public: bytes) -> Record | None:
        """Keeps account of the streams that are open. Raises MsgspecError: a later release wrote this."""
        if kind == BEGIN:
            keep_begun(self._open, read_begin(public).number, (sequence, segment, offset))
        if kind != RECORD:
            return None
        record = read_record(public)
        self._open.pop(record.number, None)
        return record

    def _interrupted(self, building: _Building) -> None:
        """Streams whose process ended before their record was written."""
        for number, (sequence, segment, offset) in list(islice(self._open.items(), INTERRUPTED)):
            found, *_ = self._reader.read(segment, offset, 1, False)
            if found and found[0][:2] == (BEGIN, sequence):
                building.give(sequence, interrupted(read_begin(found[0][4])), found[0][5])
            else:
                building.skip("missing", sequence, sequence, 1)
            del self._open[number]

    def _restore(self) -> None:
        """Which streams were open at the spot: those that began before it and have no record before it."""
        segment, offset, ended = self.spot.open_segment, 0, False
        live = self._is_live()
        while not ended:
            entries, segment, offset, ended = self._reader.read(segment, offset, BATCH_BYTES, live)
            for kind, sequence, its_segment, its_offset, public, _ in entries:
                if sequence > self.spot.sequence:
                    ended = True
                    break
                with contextlib.suppress(msgspec.MsgspecError):
                    self._note(kind, sequence, its_segment, its_offset, public)
        self._is_restored = True

    def _is_live(self) -> bool:
        return is_live(self._path)

    def _horizon_us(self) -> int:
        """What ended before is not given any more. It is reckoned from the journal's own last change, so that a
        process that is started again gives what the one before it left, however long that is ago.
        """
        return changed_us(self._path) - self._max_lag_us


class _Building:
    """A batch that is being made."""

    def __init__(self, instance: str, horizon_us: int, shows: Shows) -> None:
        self._instance, self._horizon_us, self._shows = instance, horizon_us, shows
        self._gap: Gap | None = None
        self.objects: list[Object] = []
        self._records = self._skipped = self._oldest_us = 0

    def add(self, sequence: int, record: Record, private: bytes | None) -> None:
        """A record, unless it is too old."""
        if _ended_us(record) < self._horizon_us:
            self.skip("lag", sequence, sequence, record.count)
        else:
            self.give(sequence, record, private)

    def give(self, sequence: int, record: Record, private: bytes | None) -> None:
        """A record, however old."""
        self.close()
        hidden = read_private(private) if private is not None and self._shows.private else None
        self.objects.append(as_object(Row(self._instance, sequence, record, hidden), texts=self._shows.texts))
        self._records += 1
        self._oldest_us = self._oldest_us or _ended_us(record)

    def skip(self, reason: str, first: int, last: int, records: int) -> None:
        """Entries that are not given; those of one reason are told of together."""
        if self._gap is None or self._gap.reason != reason:
            self.close()
            self._gap = Gap(self._instance, reason, first)
        self._gap.last_sequence = last
        self._gap.records += records
        self._skipped += records

    def lose(self, first: int) -> None:
        """What comes from there on was removed, and nobody knows how much that was."""
        self.close()
        self.objects.append(_lost(self._instance, first))

    def close(self) -> None:
        """Tells of what was skipped until here."""
        if self._gap is not None:
            self.objects.append({"gap": asdict(self._gap)})
            self._gap = None

    def batch(self, spot: Spot) -> Batch:
        """What was made."""
        return Batch(self.objects, self._records, self._skipped, self._oldest_us, spot)


def _lost(instance: str, first: int) -> Object:
    return {"gap": asdict(Gap(instance, "missing", first))}


def _ended_us(record: Record) -> int:
    return record.started_us + (record.phases.total_us if record.phases else 0)
