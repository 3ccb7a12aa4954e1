"""Journals that stand in memory, and a sink that does as it is told."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.audit.record import BEGIN, END, RECORD
from penstock.audit.sinks.feed import Feed
from penstock.audit.sinks.interface import Object
from penstock.audit.sinks.position import Positions

MINUTE_US = 60_000_000
NOW_US = 10**12

Entry = tuple[int, int, int, int, bytes, bytes | None]
DATA = Path(__file__).parent.parent.parent.parent / "data"
_RECORD = msgspec.msgpack.decode((DATA / "record_1.msgpack").read_bytes())
_BEGIN = msgspec.msgpack.decode((DATA / "begin_1.msgpack").read_bytes())
_STARTED, _NUMBER, _PHASES = 6, 1, 24
PRIVATE = (DATA / "private_1.msgpack").read_bytes()


class FakeJournal:
    """One journal: entries by segment, a directory with a lock, and the time of its last commit."""

    def __init__(self, data_dir: Path, instance: str) -> None:
        self.instance, self.path = instance, data_dir / "journal" / instance
        self.path.mkdir(parents=True)
        self.segments: dict[int, list[Entry]] = {}
        self.sequence = 0
        self.reads: list[tuple[int, int]] = []
        self.fails_after: int | None = None
        """So many readings more go well."""
        self._lock = (self.path / "lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.commit(10**12)

    def commit(self, at_us: int) -> None:
        """When something was written last."""
        (self.path / "committed").touch()
        os.utime(self.path / "committed", ns=(at_us * 1000, at_us * 1000))

    def die(self) -> None:
        """The process is gone."""
        self._lock.close()

    def vanish(self) -> None:
        """So is the directory."""
        self.die()
        for file in self.path.iterdir():
            file.unlink()
        self.path.rmdir()

    def add(self, kind: int, public: bytes, private: bytes | None = None, segment: int = 1) -> None:
        """One more entry."""
        self.sequence += 1
        (self.path / f"{segment:010}.segment").touch()
        entries = self.segments.setdefault(segment, [])
        entries.append((kind, self.sequence, segment, len(entries) + 1, public, private))

    def record(self, number: int, started_us: int = 10**12, private: bytes | None = None, segment: int = 1) -> None:
        """A finished request."""
        places = list(_RECORD)
        places[_NUMBER], places[_STARTED], places[_PHASES] = number, started_us, [1, 2, 3, 4, 5, 1_000]
        self.add(RECORD, msgspec.msgpack.encode(places), private, segment)

    def begin(self, number: int, segment: int = 1) -> None:
        """A stream that began."""
        places = list(_BEGIN)
        places[_NUMBER] = number
        self.add(BEGIN, msgspec.msgpack.encode(places), None, segment)

    def end(self) -> None:
        """The process ends in order."""
        self.add(END, b"\x90", None, max(self.segments, default=1))

    def read(self, segment: int, offset: int, most_bytes: int, live: bool) -> tuple[list[Entry], int, int, bool]:
        """As native does: so many entries as `most_bytes` has KiB, at least one."""
        if self.fails_after is not None:
            if self.fails_after == 0:
                raise OSError(5, "the disk refuses")
            self.fails_after -= 1
        self.reads.append((segment, offset))
        every = [entry for number in sorted(self.segments) for entry in self.segments[number]]
        left = [entry for entry in every if entry[2:4] >= (segment, max(1, offset))]
        found = left[: max(1, most_bytes >> 10)]
        if not found:
            return [], segment, offset, True
        return found, found[-1][2], found[-1][3] + 1, len(found) == len(left)


class Told:
    """A sink that keeps what it is given, unless it refuses."""

    def __init__(self) -> None:
        self.taken: list[Object] = []
        self.settled = 0
        self.refuses = False
        self.loses = False
        """The disk fails before it has what was taken."""
        self.tries = 0

    def take(self, batch: Sequence[Object]) -> None:
        self.tries += 1
        if self.refuses:
            raise OSError("no room")
        self.taken += batch

    def settle(self) -> None:
        if self.loses:
            raise OSError("the disk failed")
        self.settled += 1

    def close(self) -> None:
        pass

    def numbers(self) -> list[int | str]:
        """Numbers of records, reasons of gaps."""
        return [each["number"] if "number" in each else each["gap"]["reason"] for each in self.taken]


MakeJournal = Callable[[str], FakeJournal]


@pytest.fixture
def journals(tmp_path: Path) -> Iterator[dict[str, FakeJournal]]:
    """Those that were made, by instance."""
    made: dict[str, FakeJournal] = {}
    yield made
    for journal in made.values():
        journal.die()


@pytest.fixture
def make_journal(tmp_path: Path, journals: dict[str, FakeJournal]) -> MakeJournal:
    """Makes one."""

    def make(instance: str) -> FakeJournal:
        journals[instance] = FakeJournal(tmp_path, instance)
        return journals[instance]

    return make


class Scene:
    """Feeds of one sink on one data_dir, a life after another."""

    def __init__(self, data_dir: Path, journals: dict[str, FakeJournal]) -> None:
        self.data_dir, self.journals, self.sink = data_dir, journals, Told()
        self.feeds: list[Feed] = []

    def feed(self, own: str = "one", **changes: Any) -> Feed:
        """A new life; the one before it let go."""
        for feed in self.feeds:
            feed._positions.release()
        positions = Positions(str(self.data_dir / "sinks" / "told"), "told")
        options: dict[str, Any] = {"max_lag_us": 10 * MINUTE_US, "open_journal": self._open} | changes
        self.feeds.append(Feed("told", self.sink, positions, str(self.data_dir), own, **options))
        assert self.feeds[-1]._take()
        return self.feeds[-1]

    def fed(self) -> Feed:
        """A new life that has read what there is, and hears of what comes."""
        feed = self.feed()
        feed.turn()
        return feed

    def _open(self, path: str) -> FakeJournal:
        return self.journals[os.path.basename(path)]


@pytest.fixture
def scene(tmp_path: Path, journals: dict[str, FakeJournal]) -> Scene:
    return Scene(tmp_path, journals)
