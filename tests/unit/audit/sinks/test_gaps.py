"""What a sink is told of that it is not given: no entry goes without a word."""

from __future__ import annotations

import os

import pytest

from penstock.audit.sinks.feed import UnreadableError
from tests.unit.audit.sinks.conftest import MINUTE_US, NOW_US, MakeJournal, Scene


def test_a_slow_sink_skips_what_is_too_old_and_is_told_how_much(scene: Scene, make_journal: MakeJournal) -> None:
    journal = make_journal("one")
    feed = scene.feed()
    for number in range(3_000):
        journal.record(number, NOW_US - 11 * MINUTE_US)
    journal.record(3_000, NOW_US)
    feed.turn()
    gap = {"instance": "one", "reason": "lag", "first_sequence": 1, "last_sequence": 3_000, "records": 3_000}
    assert scene.sink.taken[0] == {"gap": gap}
    assert scene.sink.numbers() == ["lag", 3_000]
    assert (feed.facts.records, feed.facts.skipped) == (1, 3_000)


def test_what_a_process_left_is_skipped_by_the_time_of_its_segments_where_its_mark_is_gone(
    scene: Scene, make_journal: MakeJournal
) -> None:
    journal, _ = make_journal("0"), make_journal("one")
    feed = scene.fed()
    journal.record(1, NOW_US - 11 * MINUTE_US)
    journal.record(2, NOW_US)
    journal.die()
    (journal.path / "committed").unlink()
    (segment,) = journal.path.glob("*.segment")
    os.utime(segment, ns=(NOW_US * 1000, NOW_US * 1000))
    feed.turn()
    assert scene.sink.numbers() == ["lag", 2]


def test_a_new_sink_misses_nothing_of_an_older_journal_whose_newest_segment_is_still_empty(
    scene: Scene, make_journal: MakeJournal
) -> None:
    journal, _ = make_journal("0"), make_journal("one")
    journal.record(1)
    journal.record(2)
    (journal.path / f"{2:010}.segment").touch()
    feed = scene.fed()
    journal.record(3, segment=2)
    feed.turn()
    assert scene.sink.numbers() == [3]
    journal.record(4, segment=2)
    journal.record(5, segment=3)
    del journal.segments[2]
    feed.turn()
    assert scene.sink.numbers() == [3, "missing", 5], "from then on it knows"


def test_entries_that_are_gone_are_told_of(scene: Scene, make_journal: MakeJournal) -> None:
    journal = make_journal("one")
    journal.record(1)
    feed = scene.fed()
    for number in (2, 3):
        journal.record(number, segment=1)
    journal.record(4, segment=2)
    del journal.segments[1]
    feed.turn()
    gap = {"instance": "one", "reason": "missing", "first_sequence": 2, "last_sequence": 3, "records": 2}
    assert scene.sink.taken[1:] == [{"gap": gap}, scene.sink.taken[-1]]
    assert scene.sink.numbers() == [1, "missing", 4]


def test_a_journal_that_vanished_before_its_end_was_read_is_told_of(scene: Scene, make_journal: MakeJournal) -> None:
    journal, own = make_journal("0"), make_journal("one")
    feed = scene.fed()
    journal.record(1)
    feed.turn()
    journal.vanish()
    feed.turn()
    gap = {"instance": "0", "reason": "missing", "first_sequence": 2, "last_sequence": None, "records": 0}
    assert scene.sink.taken[1:] == [{"gap": gap}]
    own.record(1)
    scene.feed().turn()
    assert len(scene.sink.taken) == 3, "it is told once"


def test_a_journal_that_ended_in_order_vanishes_without_a_word(scene: Scene, make_journal: MakeJournal) -> None:
    journal = make_journal("0")
    make_journal("one")
    feed = scene.fed()
    journal.record(1)
    journal.end()
    feed.turn()
    journal.vanish()
    feed.turn()
    assert scene.sink.numbers() == [1]


def test_a_process_that_left_nothing_vanishes_without_a_word(scene: Scene, make_journal: MakeJournal) -> None:
    make_journal("one")
    feed = scene.fed()
    idle = make_journal("two")
    feed.turn()
    idle.vanish()
    feed.turn()
    assert scene.sink.taken == []


@pytest.mark.parametrize("ends", [True, False])
def test_what_a_sink_would_not_take_is_given_though_the_journal_has_vanished(
    scene: Scene, make_journal: MakeJournal, ends: bool
) -> None:
    journal = make_journal("0")
    make_journal("one")
    feed = scene.fed()
    journal.record(1)
    if ends:
        journal.end()
    scene.sink.refuses = True
    with pytest.raises(OSError, match="no room"):
        feed.turn()
    if not ends:
        journal.record(2)
    journal.vanish()
    for _ in range(2):
        with pytest.raises(OSError, match="no room"):
            feed.turn()
    scene.sink.refuses = False
    feed.turn()
    feed.turn()
    assert scene.sink.numbers() == ([1] if ends else [1, "missing"])
    if not ends:
        assert scene.sink.taken[1]["gap"]["first_sequence"] == 2


def test_that_the_last_segments_went_before_they_were_read_is_told_though_the_directory_is_there(
    scene: Scene, make_journal: MakeJournal
) -> None:
    journal = make_journal("0")
    make_journal("one")
    feed = scene.fed()
    journal.record(1)
    feed.turn()
    journal.record(2)
    journal.segments.clear()
    (journal.path / "0000000001.segment").unlink()
    journal.die()
    feed.turn()
    feed.turn()
    gap = {"instance": "0", "reason": "missing", "first_sequence": 2, "last_sequence": None, "records": 0}
    assert scene.sink.taken[1:] == [{"gap": gap}]


def test_a_journal_that_came_and_went_while_the_sink_was_held_up_is_told_of(
    scene: Scene, make_journal: MakeJournal
) -> None:
    first = make_journal("0")
    feed = scene.feed("0")
    first.record(1)
    other = make_journal("1")
    other.record(1)
    scene.sink.refuses = True
    with pytest.raises(OSError, match="no room"):
        feed.turn()
    other.vanish()
    scene.sink.refuses = False
    feed.turn()
    gap = {"instance": "1", "reason": "missing", "first_sequence": 1, "last_sequence": None, "records": 0}
    assert scene.sink.taken[1:] == [{"gap": gap}]


def test_a_reading_that_breaks_off_loses_nothing_that_it_had_read(scene: Scene, make_journal: MakeJournal) -> None:
    journal = make_journal("one")
    feed = scene.fed()
    for number in range(300):
        journal.record(number, NOW_US - 11 * MINUTE_US)
    journal.begin(301)
    journal.record(300, NOW_US)
    journal.fails_after = 1
    with pytest.raises(UnreadableError, match="the disk refuses"):
        feed.turn()
    journal.fails_after = None
    journal.die()
    feed.turn()
    assert scene.sink.numbers() == ["lag", 300, 301]
    assert scene.sink.taken[0]["gap"]["records"] == 300


def test_a_stream_whose_beginning_is_gone_when_it_is_found_to_be_over_is_told_of(
    scene: Scene, make_journal: MakeJournal
) -> None:
    journal = make_journal("one")
    journal.begin(1, segment=1)
    journal.record(2, segment=2)
    feed = scene.fed()
    del journal.segments[1]
    journal.die()
    feed.turn()
    gap = {"instance": "one", "reason": "missing", "first_sequence": 1, "last_sequence": 1, "records": 1}
    assert scene.sink.taken[1:] == [{"gap": gap}]


def test_what_a_later_release_wrote_is_passed_over_and_counted(scene: Scene, make_journal: MakeJournal) -> None:
    journal = make_journal("one")
    journal.add(1, b"\x93\x02\x01\x01")
    journal.record(2)
    journal.add(99, b"a new kind")
    scene.feed().turn()
    assert scene.sink.numbers() == ["unreadable", 2]


def test_a_journal_that_goes_before_the_disk_has_what_was_given_of_it_is_told_of(
    scene: Scene, make_journal: MakeJournal
) -> None:
    make_journal("one")
    feed = scene.fed()
    other = make_journal("two")
    other.record(1)
    other.end()
    scene.sink.loses = True
    with pytest.raises(OSError, match="the disk failed"):
        feed.turn()
    other.vanish()
    scene.sink.loses = False
    feed.turn()
    assert scene.sink.numbers() == [1, "missing"]


@pytest.mark.parametrize("turns", [1, 3])
def test_a_journal_that_came_and_went_while_the_disk_went_on_failing_is_told_of(
    scene: Scene, make_journal: MakeJournal, turns: int
) -> None:
    make_journal("one")
    feed = scene.fed()
    other = make_journal("two")
    other.record(1)
    scene.sink.loses = True
    with pytest.raises(OSError, match="the disk failed"):
        feed.turn()
    other.vanish()
    for _ in range(turns):
        with pytest.raises(OSError, match="the disk failed"):
            feed.turn()
    scene.sink.loses = False
    for _ in range(2):
        feed.turn()
    assert scene.sink.numbers() == [1, *["missing"] * (turns + 1)]
    scene.feed().turn()
    assert len(scene.sink.taken) == turns + 2, "and is kept then"
