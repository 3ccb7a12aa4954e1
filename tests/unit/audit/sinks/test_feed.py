"""What a sink is given: everything once, in order, from where it was."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from penstock.audit.record import Private
from penstock.audit.sinks.feed import AGAIN_S, UnreadableError
from penstock.audit.sinks.interface import LostError, Object
from penstock.audit.sinks.position import Positions
from tests.unit.audit.sinks.conftest import MINUTE_US, NOW_US, PRIVATE, MakeJournal, Scene
from tests.unit.conftest import until


def test_each_record_comes_once_as_query_prints_it(scene: Scene, make_journal: MakeJournal) -> None:
    journal = make_journal("one")
    feed = scene.fed()
    assert scene.sink.taken == []
    journal.begin(1)
    journal.record(1, private=PRIVATE)
    feed.turn()
    feed.turn()
    (record,) = scene.sink.taken
    assert (record["number"], record["instance"], record["sequence"]) == (1, "one", 2)
    assert record["client"] == "192.0.2.7"
    assert next(iter(record)) == "started"
    assert (feed.facts.records, feed.facts.skipped, feed.facts.failures) == (1, 0, 0)


def test_the_private_part_stays_out_where_it_is_not_wanted(scene: Scene, make_journal: MakeJournal) -> None:
    make_journal("one").record(1, private=PRIVATE)
    scene.feed(private=False).turn()
    assert not {"client", "end_user"} & set(scene.sink.taken[0])


def test_texts_come_only_where_they_are_asked_for(scene: Scene, make_journal: MakeJournal) -> None:
    texts = msgspec.msgpack.encode(Private(client="192.0.2.7", prompt="why", answer="so"))
    make_journal("one").record(1, private=texts)
    scene.feed().turn()
    assert scene.sink.taken[0]["client"] == "192.0.2.7"
    assert not {"prompt", "answer"} & set(scene.sink.taken[0])
    make_journal("two").record(1, private=texts)
    scene.feed(texts=True).turn()
    assert (scene.sink.taken[-1]["prompt"], scene.sink.taken[-1]["answer"]) == ("why", "so")


def test_a_sink_that_was_never_fed_begins_with_what_comes(scene: Scene, make_journal: MakeJournal) -> None:
    old, own = make_journal("0"), make_journal("one")
    for number in range(3):
        old.record(number)
    own.record(7)
    feed = scene.fed()
    assert scene.sink.numbers() == [7]
    old.record(3)
    feed.turn()
    assert scene.sink.numbers() == [7, 3], "of another process that is alive"


def test_a_process_that_is_killed_before_its_first_look_has_said_where_a_new_sink_begins(
    scene: Scene, make_journal: MakeJournal
) -> None:
    old, own = make_journal("0"), make_journal("one")
    old.record(1)
    old.die()
    feed = scene.feed()
    feed._positions.release()
    feed.begin()
    own.record(2)
    own.die()
    make_journal("two").record(3)
    scene.feed("two").turn()
    assert scene.sink.numbers() == [2, 3]


def test_a_journal_that_begins_after_the_sink_is_given_from_its_beginning(
    scene: Scene, make_journal: MakeJournal
) -> None:
    make_journal("one")
    feed = scene.feed()
    make_journal("two").record(1)
    feed.turn()
    assert scene.sink.numbers() == [1]


def test_a_later_life_goes_on_where_the_one_before_it_was(scene: Scene, make_journal: MakeJournal) -> None:
    first = make_journal("one")
    first.record(1)
    scene.feed().turn()
    first.record(2)
    first.die()
    make_journal("two").record(1)
    scene.feed("two").turn()
    scene.feed("two").turn()
    assert scene.sink.numbers() == [1, 2, 1]
    assert [each["instance"] for each in scene.sink.taken] == ["one", "one", "two"]


def test_what_was_not_taken_comes_again_and_all_of_it(scene: Scene, make_journal: MakeJournal) -> None:
    journal = make_journal("one")
    journal.record(1)
    feed = scene.feed()
    scene.sink.refuses = True
    for _ in range(2):
        with pytest.raises(OSError, match="no room"):
            feed.turn()
        journal.record(2)
    scene.sink.refuses = False
    feed.turn()
    assert scene.sink.numbers() == [1, 2, 2]
    assert feed.facts.oldest_us == 0


def test_after_a_kill_what_was_taken_and_not_kept_comes_again(scene: Scene, make_journal: MakeJournal) -> None:
    make_journal("one").record(1)
    scene.fed()
    (scene.data_dir / "sinks" / "told" / "position.json").unlink()
    scene.feed().turn()
    assert scene.sink.numbers() == [1, 1]


def test_what_may_not_have_come_to_disk_comes_again_all_of_it(scene: Scene, make_journal: MakeJournal) -> None:
    other, journal = make_journal("0"), make_journal("one")
    feed = scene.fed()
    journal.record(1)
    feed.turn()
    scene.sink.loses = True
    other.record(2)
    journal.record(3)
    for _ in range(2):
        with pytest.raises(OSError, match="the disk failed"):
            feed.turn()
    scene.sink.loses = False
    feed.turn()
    feed.turn()
    assert scene.sink.numbers() == [1, 2, 3, 2, 3, 2, 3]
    scene.feed().turn()
    assert scene.sink.numbers()[-2:] == [2, 3], "and is kept then"


def test_what_was_lost_while_more_was_taken_comes_again(
    scene: Scene, make_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = make_journal("0"), make_journal("one")
    feed = scene.fed()
    first.record(1)
    last.record(2)
    take = scene.sink.take

    def lose(batch: Sequence[Object]) -> None:
        if scene.sink.taken:
            raise LostError("the disk failed")
        take(batch)

    with monkeypatch.context() as patched:
        patched.setattr(scene.sink, "take", lose)
        with pytest.raises(LostError):
            feed.turn()
    feed.turn()
    assert scene.sink.numbers() == [1, 1, 2]


def test_a_sink_whose_disk_fails_is_stuck_until_it_has_what_was_taken(scene: Scene, make_journal: MakeJournal) -> None:
    journal = make_journal("one")
    now = 100.0
    feed = scene.feed(now=lambda: now)
    feed.turn()
    journal.record(1)
    scene.sink.loses = True
    for _ in range(2):
        with pytest.raises(OSError, match="the disk failed"):
            feed.turn()
        assert feed.facts.since == 100.0
        now += 30.0
    scene.sink.loses = False
    feed.turn()
    assert feed.facts.since is None


def test_what_is_given_again_as_the_disk_failed_is_counted_once(
    scene: Scene, make_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = make_journal("one")
    feed = scene.fed()
    journal.record(1, NOW_US - 11 * MINUTE_US)
    journal.record(2)
    scene.sink.loses = True
    for _ in range(3):
        with pytest.raises(OSError, match="the disk failed"):
            feed.turn()
        assert (feed.facts.records, feed.facts.skipped) == (0, 0)
    scene.sink.loses = False
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", refuse)
        for _ in range(2):
            with pytest.raises(OSError, match="read-only"):
                feed.turn()
            assert (feed.facts.records, feed.facts.skipped) == (1, 1), "the sink has it"
    feed.turn()
    assert (feed.facts.records, feed.facts.skipped) == (1, 1)


def refuse(*_: object) -> None:
    raise OSError(30, "read-only")


def test_what_a_process_left_is_given_however_long_ago_it_ended(scene: Scene, make_journal: MakeJournal) -> None:
    journal = make_journal("one")
    scene.feed().turn()
    journal.record(1, NOW_US - 9 * MINUTE_US)
    journal.commit(NOW_US)
    journal.die()
    make_journal("two").commit(NOW_US + 1_000 * MINUTE_US)
    scene.feed("two").turn()
    assert scene.sink.numbers() == [1]


def test_a_journal_that_cannot_be_read_holds_up_no_other(scene: Scene, make_journal: MakeJournal) -> None:
    broken, own, last = make_journal("0"), make_journal("one"), make_journal("two")
    said: list[str] = []
    now = 100.0
    feed = scene.feed(report=said.append, now=lambda: now)
    feed.turn()
    for journal in (broken, own, last):
        journal.record(1)
    broken.fails_after = 0
    feed.turn()
    assert [each["instance"] for each in scene.sink.taken] == ["one", "two"]
    now += AGAIN_S
    feed.turn()
    assert [text.removeprefix(str(scene.data_dir)) for text in said] == ["/journal/0 cannot be read: the disk refuses"]
    broken.fails_after = None
    feed.turn()
    assert len(scene.sink.taken) == 2, "not before its time"
    now += AGAIN_S
    feed.turn()
    assert [each["instance"] for each in scene.sink.taken] == ["one", "two", "0"]


def test_that_the_own_journal_cannot_be_read_is_a_failure_once_the_others_have_theirs(
    scene: Scene, make_journal: MakeJournal
) -> None:
    own, other = make_journal("one"), make_journal("two")
    feed = scene.fed()
    own.fails_after = 0
    other.record(1)
    for _ in range(2):
        with pytest.raises(UnreadableError, match="/journal/one cannot be read: the disk refuses"):
            feed.turn()
    assert [each["instance"] for each in scene.sink.taken] == ["two"]


def test_a_new_sink_is_fed_though_an_old_journal_cannot_be_read(scene: Scene, make_journal: MakeJournal) -> None:
    old, own = make_journal("0"), make_journal("one")
    old.fails_after = 0
    own.record(1)
    scene.feed().turn()
    assert scene.sink.numbers() == [1]


def test_a_stream_that_ended_with_its_process_is_interrupted_also_in_a_later_life(
    scene: Scene, make_journal: MakeJournal
) -> None:
    journal = make_journal("one")
    journal.begin(1, segment=1)
    journal.begin(2, segment=1)
    journal.begin(3, segment=2)
    journal.record(2, segment=3)
    scene.feed().turn()
    assert scene.sink.numbers() == [2]
    journal.die()
    make_journal("two")
    scene.feed("two").turn()
    scene.feed("two").turn()
    assert scene.sink.numbers() == [2, 1, 3]
    assert [each["outcome"] for each in scene.sink.taken] == ["complete", "interrupted", "interrupted"]
    assert [each["sequence"] for each in scene.sink.taken] == [4, 1, 3]


@pytest.mark.parametrize("lives", [1, 2])
def test_of_streams_that_ended_with_their_process_the_newest_come(
    scene: Scene, make_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch, lives: int
) -> None:
    monkeypatch.setattr("penstock.audit.journals.MOST_BEGUN", 2)
    journal = make_journal("one")
    for number in (1, 2, 3, 4):
        journal.begin(number, segment=number)
    journal.record(1, segment=4)
    feed = scene.fed()
    assert scene.sink.numbers() == [1]
    assert feed._positions.spots["one"].open_segment == 3, "what is before need not be read again"
    journal.die()
    if lives > 1:
        make_journal("two")
        feed = scene.feed("two")
    feed.turn()
    assert scene.sink.numbers() == [1, 3, 4]


def test_many_streams_that_ended_together_come_in_pieces(scene: Scene, make_journal: MakeJournal) -> None:
    journal = make_journal("one")
    for number in range(1_200):
        journal.begin(number)
    feed = scene.fed()
    journal.die()
    feed.turn()
    assert scene.sink.numbers() == list(range(1_200))
    assert scene.sink.tries == 3
    assert feed._positions.spots["one"].is_done


def test_another_process_waits_until_it_may_feed(scene: Scene, make_journal: MakeJournal) -> None:
    journal = make_journal("one")
    feed = scene.fed()
    other = Positions(str(scene.data_dir / "sinks" / "told"), "told")
    assert not other.take()
    journal.record(1)
    feed.turn()
    feed._positions.release()
    assert other.take()
    assert other.spots["one"].sequence == 1
    other.release()


def test_a_damaged_position_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "position.json").write_text("[]")
    with pytest.raises(ValueError, match=r"position\.json: .*remove it"):
        Positions(str(tmp_path), "told").take()


async def test_the_thread_gives_the_last_records_before_it_ends(scene: Scene, make_journal: MakeJournal) -> None:
    journal = make_journal("one")
    feed = scene.feed()
    feed.start()
    journal.record(1)
    await until(lambda: scene.sink.numbers() == [1])
    journal.record(2)
    feed.finish()
    assert feed.wait(5.0)
    assert scene.sink.numbers() == [1, 2]
    assert scene.sink.settled > 0


async def test_a_sink_that_refuses_is_tried_again_and_does_not_keep_the_thread(
    scene: Scene, make_journal: MakeJournal
) -> None:
    make_journal("one").record(1)
    scene.sink.refuses = True
    feed = scene.feed()
    feed.start()
    await until(lambda: feed.facts.failures > 1)
    assert feed.facts.why == "no room"
    assert feed.facts.since is not None
    scene.sink.refuses = False
    await until(lambda: scene.sink.numbers() == [1])
    await until(lambda: feed.facts.why == "")
    scene.sink.refuses = True
    feed.finish()
    assert feed.wait(5.0)
