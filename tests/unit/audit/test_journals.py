"""Which journals there are, and the rows made of their entries."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import msgspec
import pytest

from penstock.audit.journals import Journal, Row, first_segment, instances, last_segment, live_instances, segment_bytes
from penstock.audit.record import BEGIN, END, GAP, RECORD, read_begin

Entry = tuple[int, int, int, int, bytes, bytes | None]
DATA = Path(__file__).parent.parent.parent / "data"


class FakeReader:
    """Gives one entry a call."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.live: list[bool] = []

    def read(self, segment: int, offset: int, most_bytes: int, live: bool) -> tuple[list[Entry], int, int, bool]:
        assert (segment, most_bytes > 0) == (0, True)
        self.live.append(live)
        return self.entries[offset : offset + 1], 0, min(offset + 1, len(self.entries)), offset >= len(self.entries)


def record(number: int) -> bytes:
    places = msgspec.msgpack.decode((DATA / "record_1.msgpack").read_bytes())
    places[1] = number
    return msgspec.msgpack.encode(places)


def begin(number: int) -> bytes:
    places = msgspec.msgpack.decode((DATA / "begin_1.msgpack").read_bytes())
    places[1] = number
    return msgspec.msgpack.encode(places)


def seen(found: list[Row]) -> list[tuple[int, str]]:
    return [(row.record.number, row.record.outcome) for row in found]


ENTRIES: list[Entry] = [
    (BEGIN, 1, 1, 0, begin(1), None),
    (BEGIN, 2, 1, 0, begin(2), (DATA / "private_1.msgpack").read_bytes()),
    (RECORD, 3, 1, 0, record(1), None),
    (GAP, 4, 1, 0, b"\x91\x01", None),
    (99, 5, 1, 0, b"of a later release", None),
    (END, 6, 1, 0, b"\x92\x01\x02", None),
]


def test_a_stream_without_a_record_is_interrupted_once_its_process_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "journal" / "one"
    path.mkdir(parents=True)
    reader = FakeReader(list(ENTRIES))
    with (path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        journal = Journal(str(path), open_journal=lambda _: reader)
        assert seen(list(journal.rows())) == [(1, "complete")], "the other still runs"
        assert all(reader.live)
        reader.entries.append((RECORD, 7, 1, 0, record(3), None))
        assert seen(list(journal.rows())) == [(3, "complete")]
    found = list(journal.rows())
    assert seen(found) == [(2, "interrupted")]
    assert (found[0].instance, found[0].sequence) == ("one", 2)
    assert found[0].private is not None
    assert list(journal.rows()) == []


@pytest.mark.parametrize("before", [0, 3])
def test_of_streams_without_a_record_the_newest_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    monkeypatch.setattr("penstock.audit.journals.MOST_BEGUN", 3)
    path = tmp_path / "journal" / "one"
    path.mkdir(parents=True)
    entries: list[Entry] = [(BEGIN, number, 1, 0, begin(number), None) for number in range(1, 7)]
    entries += [(RECORD, 7, 1, 0, record(1), None), (RECORD, 8, 1, 0, record(5), None)]
    begun = {number: (number, read_begin(begin(number)), None) for number in range(1, before + 1)}
    journal = Journal(str(path), 0, before, begun=begun, open_journal=lambda _: FakeReader(entries))
    assert seen(list(journal.rows())) == [
        (1, "complete"),
        (5, "complete"),
        (4, "interrupted"),
        (6, "interrupted"),
    ]


def test_journals_are_those_that_have_a_name(tmp_path: Path) -> None:
    assert instances(str(tmp_path)) == []
    for name in ("b", "a", ".starting", "lost+found"):
        (tmp_path / "journal" / name).mkdir(parents=True)
        (tmp_path / "journal" / name / "lock").touch()
    assert [os.path.basename(path) for path in instances(str(tmp_path))] == ["a", "b"]
    assert live_instances(str(tmp_path)) == []
    with (tmp_path / "journal" / "b" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert live_instances(str(tmp_path)) == ["b"]


def test_a_segment_that_goes_while_it_is_listed_hides_no_other(tmp_path: Path) -> None:
    for number in (1, 3):
        (tmp_path / f"{number:010}.segment").write_bytes(b"x" * number)
    (tmp_path / f"{2:010}.segment").symlink_to(tmp_path / "gone")
    assert segment_bytes(str(tmp_path)) == [(1, 1), (3, 3)]


def test_segments_that_ended_before_a_time_are_not_read(tmp_path: Path) -> None:
    assert (first_segment(str(tmp_path), 5), last_segment(str(tmp_path))) == (0, 0)
    for name, second in (("0000000001.segment", 10), ("0000000002.damaged", 20), ("0000000003.segment", 30)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (second, second))
    for name in ("lock", "committed"):
        (tmp_path / name).touch()
    assert [first_segment(str(tmp_path), second * 10**6) for second in (0, 10, 11, 30, 40)] == [1, 1, 2, 3, 3]
    assert last_segment(str(tmp_path)) == 3
    assert first_segment(str(tmp_path / "gone"), 0) == 0


class Segments:
    """Segments of so many batches of one entry each; a reading of any takes a second of `clock`."""

    def __init__(self, path: Path, *batches: int) -> None:
        self.clock = 0
        self._batches = batches
        for number in range(1, len(batches) + 1):
            (path / f"{number}.segment").write_bytes(b"x")

    def read(self, segment: int, offset: int, most_bytes: int, live: bool) -> tuple[list[Entry], int, int, bool]:
        self.clock += 1
        number = sum(self._batches[: segment - 1]) + offset + 1
        is_last = offset + 1 == self._batches[segment - 1]
        end = is_last and segment == len(self._batches)
        behind = (segment + 1, 0) if is_last and not end else (segment, offset + 1)
        return [(RECORD, number, 1, 0, record(number), None)], *behind, end


@pytest.mark.parametrize(
    ("seconds", "numbers"),
    [
        (100, [7, 6, 5, 4, 3, 2, 1]),
        (6, [7, 6, 5]),
        (3, [7, 6]),
        (2, [7]),
        (1, [6]),
        (0, [5]),
    ],
)
def test_when_time_ends_the_newest_segment_was_looked_at(tmp_path: Path, seconds: int, numbers: list[int]) -> None:
    path = tmp_path / "journal" / "one"
    path.mkdir(parents=True)
    reader = Segments(path, 1, 3, 3)
    journal = Journal(str(path), 1, 0, open_journal=lambda _: reader)
    found = list(journal.newest(lambda _: reader.clock > seconds))
    assert [row.sequence for row in found] == numbers
    assert journal.was_cut == (numbers[-1] != 1)


def test_the_last_batch_of_a_segment_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "journal" / "one"
    path.mkdir(parents=True)
    reader = Segments(path, 1, 1, 2)
    found = list(Journal(str(path), 1, 0, open_journal=lambda _: reader).newest(lambda _: False))
    assert [row.sequence for row in found] == [4, 3, 2, 1]
    assert reader.clock == 5
