"""The journals of a `data_dir`, with a gateway running or not: which there are, and their records in order."""

from __future__ import annotations

import contextlib
import os
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from penstock.audit.record import (
    BEGIN,
    RECORD,
    Begin,
    Private,
    Record,
    interrupted,
    read_begin,
    read_private,
    read_record,
)
from penstock.engine import JournalReader, open_journal
from penstock.instance import instances_in, is_live

BATCH_BYTES = 1 << 20
"""What is read at a time."""
ENTRY_BYTES = 120
"""Of an entry beside its parts, about."""

COMMITTED = "committed"
"""Where a journal that is written says up to where it may be read."""
_COMMITTED_HEAD = struct.Struct("<QQ")

_SEGMENTS = (".segment", ".damaged")

OpenJournal = Callable[[str], JournalReader]
Place = tuple[int, int]
"""Segment and offset."""
Entry = tuple[int, int, int, int, bytes, bytes | None]
"""As `JournalReader.read` gives it."""
ALL = 2**64
"""Behind every sequence number."""

Begun = tuple[int, Begin, Private | None]
"""The entry of a stream's beginning: its sequence number, and what stands in it."""
MOST_BEGUN = 65_536
"""So many streams that began and whose record has not come are kept in mind, the newest: where records were dropped
nothing says whose they were. The same as in native/core/src/observe/rows.rs."""

StreamT = TypeVar("StreamT")


class Row(NamedTuple):
    """A record, where it stands, and its private part; None: it has none, or that was forgotten."""

    instance: str
    sequence: int
    record: Record
    private: Private | None


class Journal:
    """The journal of one instance, read from its beginning or from a position on."""

    def __init__(
        self,
        path: str,
        segment: int = 0,
        offset: int = 0,
        *,
        begun: Mapping[int, Begun] | None = None,
        open_journal: OpenJournal = open_journal,
    ) -> None:
        """`begun` are streams that began before the position, by their numbers, the oldest first."""
        self.instance = os.path.basename(path)
        self._path, self._segment, self._offset = path, segment, offset
        self._reader = open_journal(path)
        self._begun: OrderedDict[int, Begun] = OrderedDict(begun or {})
        self.was_cut = False
        """The last reading was told to stop before all was read."""

    def rows(self) -> Iterator[Row]:
        """What came since the last call, in its order."""
        live = is_live(self._path)
        ended = False
        while not ended:
            entries, self._segment, self._offset, ended = self._read((self._segment, self._offset), live)
            for kind, sequence, _, _, public, private in entries:
                hidden = None if private is None else read_private(private)
                if kind == RECORD:
                    record = read_record(public)
                    self._begun.pop(record.number, None)
                    yield Row(self.instance, sequence, record, hidden)
                elif kind == BEGIN:
                    begin = read_begin(public)
                    keep_begun(self._begun, begin.number, (sequence, begin, hidden))
        if not live:
            begun, self._begun = self._begun, OrderedDict()
            yield from (self._interrupted(each) for each in begun.values())

    def newest(self, is_enough: Callable[[int], bool]) -> Iterator[Row]:
        """All from the position on, the newest batch first. `is_enough` is told how many bytes more were read; true:
        that is all.
        """
        live = is_live(self._path)
        ended: set[int] = set()
        before = ALL
        starts = self._starts()
        while starts and not self.was_cut:
            places, entries, self.was_cut = self._places(starts.pop(), live, is_enough)
            if self.was_cut and before < ALL:
                break  # what else there is of it is not its newest
            while True:
                # A place that is gone meanwhile, or near its segment's end, gives what stands behind it, too: that was
                # there already.
                entries = [entry for entry in entries if entry[1] < before]
                before = entries[0][1] if entries else before
                yield from self._batch(entries, ended, live)
                read_bytes = sum(len(entry[4]) + len(entry[5] or b"") + ENTRY_BYTES for entry in entries)
                self.was_cut = (is_enough(read_bytes) and bool(places or starts)) or self.was_cut
                if self.was_cut or not places:
                    break
                entries = self._read(places.pop(), live)[0]
        if not live and not self.was_cut:
            yield from (self._interrupted(each) for number, each in self._begun.items() if number not in ended)

    def _batch(self, entries: list[Entry], ended: set[int], live: bool) -> Iterator[Row]:
        """Of a piece; `ended` are the numbers of the requests whose record stands in it or behind it."""
        begun = []
        for kind, sequence, _, _, public, private in entries:
            if kind == RECORD:
                record = read_record(public)
                ended.add(record.number)
                yield Row(self.instance, sequence, record, None if private is None else read_private(private))
            elif kind == BEGIN and not live:
                begun.append((sequence, read_begin(public), None if private is None else read_private(private)))
        yield from (self._interrupted(each) for each in begun if each[1].number not in ended)

    def _starts(self) -> list[Place]:
        """The position, and each segment behind it."""
        there = [number for number, _ in segment_bytes(self._path) if number >= self._segment]
        behind = [(number, 0) for number in there if number > self._segment]
        return behind if behind and self._segment not in there else [(self._segment, self._offset), *behind]

    def _places(
        self, start: Place, live: bool, is_enough: Callable[[int], bool]
    ) -> tuple[list[Place], list[Entry], bool]:
        """Where each batch of a segment begins but the last one, which is read, as far as there is time; and whether
        there was too little. To find that costs a quarter of reading them.
        """
        places, at = list[Place](), start
        while True:
            entries, segment, offset, ended = self._read(at, live)
            if ended or segment != start[0]:
                return places, entries, False
            if is_enough(0):
                return places, entries, True
            places.append(at)
            at = segment, offset

    def _read(self, at: Place, live: bool) -> tuple[list[Entry], int, int, bool]:
        return self._reader.read(*at, BATCH_BYTES, live)

    def _interrupted(self, begun: Begun) -> Row:
        sequence, begin, hidden = begun
        return Row(self.instance, sequence, interrupted(begin), hidden)


def keep_begun(streams: OrderedDict[int, StreamT], number: int, stream: StreamT) -> None:
    """Adds a stream that began; the oldest goes where there are more than `MOST_BEGUN`."""
    streams[number] = stream
    while len(streams) > MOST_BEGUN:
        streams.popitem(last=False)


def directory(data_dir: str) -> str:
    """Where the journals of a `data_dir` are."""
    return os.path.join(data_dir, "journal")


def instances(data_dir: str) -> list[str]:
    """The paths of all journals, the oldest first. Raises OSError when they cannot be looked at."""
    place = directory(data_dir)
    try:
        return [os.path.join(place, name) for name in instances_in(place)]
    except FileNotFoundError:
        return []


def live_instances(data_dir: str) -> list[str]:
    """The ids of those whose process is alive."""
    return [os.path.basename(path) for path in instances(data_dir) if is_live(path)]


def unread(path: str, error: OSError) -> str:
    """What is said of a journal that cannot be read."""
    return f"{path} cannot be read: {error.strerror or error}"


def first_segment(path: str, since_us: int) -> int:
    """The first segment that changed at or after a time: those before it hold nothing that began since. 0: all."""
    segments = _segments(path)
    return next(
        (number for number, changed_us in segments if changed_us >= since_us), segments[-1][0] if segments else 0
    )


def last_segment(path: str) -> int:
    """The newest segment; 0: there is none."""
    segments = _segments(path)
    return segments[-1][0] if segments else 0


def changed_us(path: str) -> int:
    """When the journal last changed, microseconds UTC; 0: nothing was ever written. Whoever takes up what a process
    left may have removed its mark.
    """
    with contextlib.suppress(FileNotFoundError):
        return os.stat(os.path.join(path, COMMITTED)).st_mtime_ns // 1000
    return max((changed for _, changed in _segments(path)), default=0)


def bytes_behind(path: str, segment: int, offset: int) -> int:
    """How many bytes are behind a position."""
    behind = [(number, size) for number, size in segment_bytes(path) if number >= segment]
    return sum(max(0, size - (offset if number == segment else 0)) for number, size in behind)


def bounded_start(path: str, segment: int, offset: int, most_bytes: int) -> tuple[int, int, bool]:
    """The position itself, or the beginning of the first segment behind it from which on there are no more than so many
    bytes; then the newest segment at least is left. The last value: whether anything is passed over.
    """
    behind = [(number, size) for number, size in segment_bytes(path) if number >= segment]
    total = sum(size for _, size in behind) - offset
    at = 0
    while total > most_bytes and at + 1 < len(behind):
        total -= behind[at][1] - (offset if behind[at][0] == segment else 0)
        at += 1
    return (behind[at][0], 0, True) if at else (segment, offset, False)


def segment_bytes(path: str) -> list[tuple[int, int]]:
    """Number and size of each segment; of one that is written, whose file is longer, as much as readers may see."""
    committed, bytes_ = _committed(path)
    sizes = [(number, facts.st_size) for number, facts in _files(path)]
    return [(number, min(size, bytes_) if number == committed else size) for number, size in sizes]


def _committed(path: str) -> tuple[int, int]:
    """Segment, and bytes of it, that its writer calls committed (native/core/src/journal/walk.rs); (0, 0): none."""
    try:
        with open(os.path.join(path, COMMITTED), "rb") as file:
            segment, bytes_ = _COMMITTED_HEAD.unpack(file.read(_COMMITTED_HEAD.size))
    except (OSError, struct.error):
        return 0, 0
    return segment, bytes_


def _segments(path: str) -> list[tuple[int, int]]:
    """Number and time of the last change in microseconds UTC."""
    return [(number, facts.st_mtime_ns // 1000) for number, facts in _files(path)]


def _files(path: str) -> list[tuple[int, os.stat_result]]:
    found = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                stem, ending = os.path.splitext(entry.name)
                if ending in _SEGMENTS and stem.isdigit():
                    with contextlib.suppress(FileNotFoundError):  # it alone went meanwhile
                        found.append((int(stem), entry.stat()))
    except (FileNotFoundError, NotADirectoryError):
        return []  # it went meanwhile, or is no journal
    return sorted(found)
