"""Every way in which rows of a store can be other than what the journals had."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from penstock.audit.record import END, GAP
from penstock.audit.stored import Head, Report, verify
from penstock.times import DAY_US
from tests.support.stored_rows import Chain, begin, record, used
from tests.unit.fake_asking import FakeAsking

START = 20_000 * DAY_US


def journal(instance: str = "one", count: int = 6, day: int = 0) -> Chain:
    chain = Chain(instance)
    for number in range(1, count + 1):
        started = START + day * DAY_US + number
        chain.add(record(number, started, usage=used(1, 2), tags={"a": "b\0"}, model="m\0"), ("192.0.2.7", "x"))
    return chain


def shipped(*chains: Chain, ended: bool = False) -> FakeAsking:
    store = FakeAsking()
    for chain in chains:
        store.ship(chain, ended=ended)
    return store


async def fault(store: FakeAsking) -> str | None:
    return next((report.fault for report in await verify(store) if report.fault), None)


async def test_what_was_shipped_is_what_was_written() -> None:
    chain = journal()
    chain.add(begin(7, START + 7))
    chain.add_other(GAP, 1, 5, 100, 0, 0, "memory")
    chain.add(record(7, START + 7))
    chain.add_other(END, 1, 0)
    store = shipped(chain, ended=True)
    (report,) = await verify(store)
    assert report == Report(
        instance="one",
        entries=10,
        records=7,
        lost=5,
        ended=True,
        head=Head("one", 10, chain.rows[-1].hash.hex()),
        first_day=20_000,
    )
    assert await verify(FakeAsking()) == []


async def test_thousands_of_rows_are_read_piece_by_piece() -> None:
    store = shipped(journal(count=2_500))
    (report,) = await verify(store)
    assert (report.entries, report.fault) == (2_500, None)
    assert store.asked.count("entries") == 4
    del store.rows[1_999]
    assert await fault(store) == "entry 2000 is missing"


Change = Callable[[FakeAsking], None]


def put(index: int, **values: object) -> Change:
    def change(store: FakeAsking) -> None:
        for name, value in values.items():
            setattr(store.rows[index], name, value)

    return change


def column(place: int, value: object) -> Change:
    def change(store: FakeAsking) -> None:
        row = store.rows[2]
        row.columns = (*row.columns[:place], value, *row.columns[place + 1 :])

    return change


def drop(*indexes: int) -> Change:
    def change(store: FakeAsking) -> None:
        store.rows = [row for index, row in enumerate(store.rows) if index not in indexes]

    return change


def twice(store: FakeAsking) -> None:
    store.rows.append(store.rows[2])


def swapped(store: FakeAsking) -> None:
    store.rows[2].sequence, store.rows[3].sequence = 4, 3


def another(store: FakeAsking) -> None:
    store.rows[3] = msgspec.structs.replace(journal().rows[2], sequence=4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put(2, public=msgspec.msgpack.encode(record(3, START))), "entry 3 was changed"),
        (put(2, hash=bytes(32)), "entry 3 was changed"),
        (put(2, digest=None, private=None), "entry 3 was changed"),
        (put(2, private=b"0" * 30), "entry 3 was changed: its private part"),
        (put(2, digest=None), "entry 3 was changed: its private part"),
        (put(2, kind=END), "entry 3 was changed"),
        (put(2, day=19_000), "entry 3 is out of order: its day is before that of the entry before it"),
        *((column(place, 17), "entry 3 was changed: its columns are not what it says") for place in range(11)),
        (column(11, {"a": "c"}), "entry 3 was changed: its columns are not what it says"),
        (column(11, None), "entry 3 was changed: its columns are not what it says"),
        *((column(place, 17), "entry 3 was changed: its columns are not what it says") for place in range(12, 21)),
        (drop(2), "entry 3 is missing"),
        (drop(2, 3), "entries 3 to 4 are missing"),
        (drop(4, 5), "entries 5 to 6 are missing: the store has had them"),
        (twice, "entry 3 stands twice"),
        (swapped, "entry 3 was changed"),
        (another, "entry 4 was changed"),
    ],
)
async def test_every_change_is_told_by_the_first_entry_that_it_hits(change: Change, said: str) -> None:
    store = shipped(journal())
    change(store)
    assert await fault(store) == said


async def test_what_was_forgotten_is_no_change() -> None:
    store = shipped(journal())
    store.rows[2].private = None
    assert await fault(store) is None


async def test_rows_that_went_from_the_beginning_are_allowed_and_counted() -> None:
    store = shipped(journal())
    drop(0, 1)(store)
    (report,) = await verify(store)
    assert (report.removed, report.entries, report.fault) == (2, 4, None)
    store.rows[2].public = b"\x90"
    assert await fault(store) == "entry 5 was changed"


async def test_an_instance_of_which_nothing_is_left_has_gone_by_age() -> None:
    old, new = journal("one"), journal("two", day=3)
    store = shipped(old, new)
    store.rows = [row for row in store.rows if row.instance == "two"]
    assert [(each.removed, each.entries, each.fault) for each in await verify(store)] == [(6, 0, None), (0, 6, None)]
    store = shipped(old, new)
    store.rows = [row for row in store.rows if row.instance == "one"]
    assert await fault(store) == "entries up to 6 are missing, and older ones of others are there"


Step = Callable[[], None]


def in_turn(store: FakeAsking, *steps: Step | None) -> None:
    """One before each time that entries are read."""
    left = iter(steps)

    def step() -> None:
        if (now := next(left, None)) is not None:
            now()

    store.before_rows = step


def gone(store: FakeAsking, instance: str, sequences: range | None = None) -> Step:
    def go() -> None:
        store.rows = [
            row
            for row in store.rows
            if row.instance != instance or (sequences is not None and row.sequence not in sequences)
        ]

    return go


async def test_what_goes_from_the_beginning_while_it_is_read_is_allowed_and_counted() -> None:
    chain = Chain("one")
    chain.add(begin(9_999, START))
    for number in range(1, 2_500):
        chain.add(record(9_999 if number == 1_500 else number, START + number))
    for upto, removed in ((500, 0), (1_000, 0), (1_001, 1_001), (1_700, 1_700), (2_500, 2_500)):
        store = shipped(chain, ended=True)
        in_turn(store, None, gone(store, "one", range(1, upto + 1)))
        (report,) = await verify(store)
        assert (report.fault, report.removed) == (None, removed), upto
        assert report.entries == 2_500 - removed
    store = shipped(chain)
    in_turn(store, None, gone(store, "one", range(1, 1_701)), None, gone(store, "one", range(1, 1_901)))
    (report,) = await verify(store)
    assert (report.fault, report.removed, report.entries) == (None, 1_900, 600)


async def test_what_is_missing_behind_the_first_row_is_a_fault_though_rows_go_while_it_is_read() -> None:
    store = shipped(journal(count=2_500))
    in_turn(store, None, gone(store, "one", range(1_000, 1_201)))
    assert await fault(store) == "entries 1001 to 1200 are missing"
    store = shipped(journal(count=2_500))
    in_turn(store, None, gone(store, "one", range(1, 1_701)), gone(store, "one", range(1_800, 1_810)))
    assert await fault(store) == "entries 1800 to 1809 are missing"


async def test_an_instance_may_go_before_its_turn_comes() -> None:
    store = shipped(journal("one"), journal("two", day=1), journal("three", day=3))
    in_turn(store, gone(store, "one"))
    found = {each.instance: (each.removed, each.entries, each.fault) for each in await verify(store)}
    assert found == {"one": (6, 0, None), "two": (0, 6, None), "three": (0, 6, None)}
    # Those that were read before it have gone as well.
    store = shipped(journal("one"), journal("two", day=1))
    in_turn(store, None, None, store.rows.clear)
    assert await fault(store) is None
    store = shipped(journal("one"), journal("two", day=1))
    in_turn(store, None, gone(store, "two"))
    assert await fault(store) == "entries up to 6 are missing, and older ones of others are there"


async def test_rows_belong_to_a_watermark() -> None:
    store = shipped(journal())
    store.known.clear()
    assert await fault(store) == "there are rows, and no watermark"
    store = shipped(journal())
    store.known["one"] = msgspec.structs.replace(store.known["one"], hash=bytes(32))
    assert await fault(store) == "entry 6 is not the one of the watermark"
    store = shipped(journal(), ended=True)
    more = journal(count=7)
    store.rows.append(more.rows[6])
    assert await fault(store) == "entry 7 stands behind the end"


async def test_what_is_shipped_meanwhile_is_no_fault() -> None:
    chain = journal()
    store = FakeAsking()
    store.ship(chain, 4)
    marks = store.all_marks

    async def later() -> object:
        found = await marks()
        store.ship(chain)
        return found

    store.all_marks = later  # type: ignore[method-assign,assignment]
    (report,) = await verify(store)
    assert (report.entries, report.fault) == (6, None)


async def test_what_is_shipped_between_the_rows_and_their_watermark_is_no_fault() -> None:
    chain = journal(count=9)
    store = FakeAsking()
    store.ship(chain, 4)
    all_marks, marks, steps = store.all_marks, store.marks, iter((8, 9, 9, 9))

    async def first() -> object:
        found = await all_marks()
        store.ship(chain, 6)
        return found

    async def later(instances: list[str]) -> object:
        store.ship(chain, next(steps))
        return await marks(instances)

    store.all_marks, store.marks = first, later  # type: ignore[method-assign,assignment]
    (report,) = await verify(store)
    assert (report.entries, report.fault) == (8, None)
    # The same, and a row of it is not there.
    del store.rows[6]
    store.known["one"] = msgspec.structs.replace(store.known["one"], sequence=6, hash=store.rows[5].hash)

    async def moved(instances: list[str]) -> object:
        store.known["one"] = msgspec.structs.replace(store.known["one"], sequence=8)
        return await marks(instances)

    async def before() -> object:
        return {"one": msgspec.structs.replace(store.known["one"], sequence=4)}

    store.rows, store.all_marks, store.marks = store.rows[:6], before, moved  # type: ignore[method-assign,assignment]
    assert await fault(store) == "entries 7 to 8 are missing: the store has had them"


async def test_a_row_that_nobody_shipped_is_told_though_its_chain_is_right() -> None:
    chain = journal()
    store = shipped(chain)
    chain.add(record(7, START + 7))
    store.rows.append(chain.rows[6])
    assert await fault(store) == "entry 7 stands behind the watermark"
    for number in (0, -1):
        store = shipped(journal())
        store.rows.append(msgspec.structs.replace(store.rows[2], sequence=number))
        assert await fault(store) == f"entry {number} is none: the first is 1"


async def test_a_stream_that_broke_off_is_marked_and_no_other() -> None:
    chain = Chain("one")
    broken = chain.add(begin(1, START))
    chain.add(begin(2, START))
    chain.add(record(2, START))
    assert await fault(shipped(chain)) is None, "its process lives"
    said = "entry 1 was changed: its stream broke off, and its row does not say so"
    assert await fault(shipped(chain, ended=True)) == said
    chain.interrupt(broken)
    assert await fault(shipped(chain, ended=True)) is None
    chain.interrupt(chain.rows[1])
    assert await fault(shipped(chain)) == "entry 2 was changed: its row says that it broke off, and entry 3 is its end"


async def test_of_streams_that_broke_off_the_newest_are_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.audit.journals.MOST_BEGUN", 3)
    chain = Chain("one")
    streams = [chain.add(begin(number, START)) for number in range(1, 6)]
    for stream in streams[3:]:
        chain.interrupt(stream)
    said = "entry 3 was changed: its stream broke off, and its row does not say so"
    assert await fault(shipped(chain, ended=True)) == said
    chain.interrupt(streams[2])
    assert await fault(shipped(chain, ended=True)) is None


async def test_kept_heads_must_stand() -> None:
    chain = journal()
    heads = [Head("one", 3, chain.rows[2].hash.hex()), Head("other", 3, "00")]
    assert [each.fault for each in await verify(shipped(chain), heads)] == [None]
    wrong = [Head("one", 3, "00" * 32)]
    (report,) = await verify(shipped(chain), wrong)
    assert report.fault == "entry 3 or one before it was changed: its head was kept"
    # The head of an entry that went shows that the one behind it is the same.
    store = shipped(chain)
    drop(0, 1, 2)(store)
    assert [each.fault for each in await verify(store, heads)] == [None]
    put(0, public=store.rows[1].public, columns=store.rows[1].columns)(store)
    assert [each.fault for each in await verify(store)] == [None]
    assert [each.fault for each in await verify(store, heads)] == ["entry 4 was changed"]


async def test_an_entry_that_nobody_can_read_is_told() -> None:
    chain = Chain("one")
    chain.add(record(1, START))
    chain._add(1, b"\x90", (None,) * 21, 20_000, None)
    assert await fault(shipped(chain)) == "entry 2 cannot be read"
