"""Journals of which shipping reads rows, without native: each entry is one number, and one byte of the journal."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from penstock.audit.record import BEGIN, END, RECORD

SEGMENT = 100
"""Entries of a segment."""


class FakeRows(Struct):
    """What `_native.Rows` says, of entries that are (kind, sequence, number)."""

    entries: list[tuple[int, int, int]]
    segment: int
    offset: int
    at_end: bool
    sequence: int
    day: int
    begun: bytes
    oldest_us: int

    @property
    def size(self) -> int:
        return len(self.entries)

    @property
    def count(self) -> int:
        return len(self.entries)

    @property
    def records(self) -> int:
        return sum(kind == RECORD for kind, _, _ in self.entries)

    @property
    def ended(self) -> bool:
        return bool(self.entries) and self.entries[-1][0] == END

    @property
    def hash(self) -> bytes:
        return self.sequence.to_bytes(32)

    @property
    def days(self) -> list[int]:
        return [self.day]

    def interrupted(self) -> list[int]:
        return list(self.begun)

    def piece(self, at: int, most_bytes: int) -> bytes:
        raise AssertionError("a store of bytes")

    def tuples(self, at: int, most: int) -> tuple[list[tuple[int | str | bytes | None, ...]], int]:
        raise AssertionError("a store of values")


class FakeJournals:
    """The journals of a `data_dir`, by instance; `fails` are those that cannot be read."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.entries: dict[str, list[tuple[int, int]]] = {}
        self.fails: set[str] = set()
        self.asked: list[tuple[str, int, bool, tuple[int, int]]] = []

    def put(self, instance: str, kind: int, number: int) -> None:
        """Appends an entry."""
        folder = self.data_dir / "journal" / instance
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "lock").touch()
        self.entries.setdefault(instance, []).append((kind, number))

    def open(self, path: str, *, past_cache: bool = False) -> FakeReader:
        """A reader, which is the same past any cache."""
        return FakeReader(self, os.path.basename(path))


class FakeReader:
    """Reads from it; positions are segment, byte in it, sequence."""

    def __init__(self, journals: FakeJournals, instance: str) -> None:
        self._journals, self._instance = journals, instance

    def rows(
        self,
        place: tuple[int, int, int],
        most_bytes: int,
        live: bool,
        days: tuple[int, int],
        begun: bytes,
        *,
        spare: bool,
    ) -> FakeRows:
        if self._instance in self._journals.fails:
            raise OSError(5, "the disk refuses")
        self._journals.asked.append((self._instance, most_bytes, live, days))
        all_of_it = self._journals.entries.get(self._instance, [])
        segment, offset, after = place
        first = max(0, segment - 1) * SEGMENT + offset
        assert first == after, "a position is behind the last entry that is a row"
        some = all_of_it[first : first + most_bytes]
        end = first + len(some)
        open_ = set(begun)
        for index, (kind, number) in enumerate(some, first + 1):
            if kind == BEGIN:
                open_.add(index)
            elif kind == RECORD:
                open_ -= {n for n in open_ if all_of_it[n - 1][1] == number}
        return FakeRows(
            entries=[(kind, first + n, number) for n, (kind, number) in enumerate(some, 1)],
            segment=end // SEGMENT + 1,
            offset=end % SEGMENT,
            at_end=end == len(all_of_it),
            sequence=end,
            day=days[0],
            begun=bytes(sorted(open_)),
            oldest_us=1_000_000 * (first + 1) if some else 0,
        )
