"""Records of the store and of journals it does not have yet, put together."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.audit import journals
from penstock.audit.asked import Asked, place_of
from penstock.audit.choice import Choice
from penstock.audit.record import Record
from penstock.audit.sums import TooManyError, day_of, hour_of, month_of, sums
from penstock.store.usage_statements import NUMBERS, Question
from penstock.times import DAY_US, HOUR_US
from tests.support.stored_rows import REFUSALS, Chain, begin, record, used
from tests.unit.fake_asking import FakeAsking

START = 20_000 * DAY_US
HOUR = START // HOUR_US


class Here:
    """Journals in a data_dir whose entries are those of chains: an entry is a byte long."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.chains: dict[str, Chain] = {}

    def add(self, chain: Chain) -> None:
        path = self.data_dir / "journal" / chain.instance
        path.mkdir(parents=True)
        (path / "0000000001.segment").write_bytes(b"x" * len(chain.rows))
        self.chains[chain.instance] = chain

    def asked(self, store: FakeAsking | None, most_s: float = 60.0, **more: Any) -> Asked:
        def reader(path: str) -> Reader:
            if os.path.isfile(path):
                raise NotADirectoryError(20, "Not a directory")
            return Reader(self.chains[os.path.basename(path)])

        return Asked(store, str(self.data_dir), reader, most_s=most_s, **more)


class Reader:
    """Reads a chain; its offsets are sequence numbers."""

    at_once = 1_000_000

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def read(self, segment: int, offset: int, most_bytes: int, live: bool) -> tuple[list[Any], int, int, bool]:
        end = min(offset + self.at_once, len(self._chain.rows))
        found = [
            (row.kind, row.sequence, 1, row.sequence, row.public, row.private and row.private[16:])
            for row in self._chain.rows[offset:end]
        ]
        return found, 1, end, end == len(self._chain.rows)


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


def chain_of(instance: str, numbers: range, **fields: Any) -> Chain:
    """Requests that began a minute apart."""
    chain = Chain(instance)
    for number in numbers:
        chain.add(record(number, START + number * 60_000_000, **fields), ("192.0.2.7", None))
    return chain


async def numbers(asked: Asked, newest: bool = False, size: int = 100, **chosen: Any) -> list[int]:
    """The numbers of all records, page by page."""
    found: list[int] = []
    after = None
    while True:
        page = await asked.page(Choice(**chosen), newest=newest, after=after, limit=size)
        found += [row.record.number for row in page.rows]
        after = page.after
        if after is None:
            return found


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("newest", [False, True])
async def test_a_record_is_seen_once_whether_it_is_in_the_store_or_not(here: Here, size: int, newest: bool) -> None:
    one, two = chain_of("one", range(0, 12, 2)), chain_of("two", range(1, 12, 2))
    here.add(one)
    here.add(two)
    store = FakeAsking()
    store.ship(one, 4)
    expected = sorted(range(12), reverse=newest)
    assert await numbers(here.asked(store), newest, size) == expected
    assert await numbers(here.asked(None), newest, size) == expected
    assert await numbers(Asked(store, "/nowhere"), newest, size) == sorted((0, 2, 4, 6), reverse=newest)
    asked = here.asked(store)
    assert await numbers(asked, newest, size, request_id="req_3") == [3]
    assert await numbers(asked, newest, size, since_us=START + 60_000_000, until_us=START + 180_000_000) == sorted(
        (1, 2), reverse=newest
    )


async def test_what_is_shipped_while_it_is_asked_for_is_shown_once(here: Here) -> None:
    chain = chain_of("one", range(10))
    here.add(chain)
    store = FakeAsking()
    store.ship(chain, 3)
    store.before_rows = lambda: store.ship(chain, 8)
    asked = here.asked(store)
    assert await numbers(asked) == list(range(10))
    store.known.clear()
    store.rows.clear()
    store.ship(chain, 3)
    assert [row.record.number async for row in asked.everything(Choice())] == list(range(10))


async def test_a_journal_that_was_shipped_to_its_end_and_removed_meanwhile_is_not_missed(here: Here) -> None:
    chain = chain_of("one", range(10))
    broken = chain.add(begin(50, START))
    here.add(chain)
    store = FakeAsking()
    store.ship(chain, 3)
    asked = here.asked(store)
    found: list[int] = []
    async for row in asked.everything(Choice()):
        if not found:  # the pages of the store have been read by now
            chain.interrupt(broken)
            store.ship(chain, ended=True)
            shutil.rmtree(here.data_dir / "journal")
        found.append(row.record.number)
    assert found == [*range(10), 50]


async def test_a_stream_whose_journal_ends_in_the_store_meanwhile_is_shown_once(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = chain_of("one", range(3))
    broken = chain.add(begin(50, START))
    here.add(chain)
    store = FakeAsking()
    store.ship(chain, 3)
    store.before_rows = lambda: store.ship(chain)  # between the first and the second look at the watermarks
    rows_of, asked_for = store.rows_of, []

    async def ended(instance: str, sequences: Any) -> Any:
        """The second look asks for what began; then all of the journal has come."""
        asked_for.append(sequences)
        if len(asked_for) == 2:
            chain.interrupt(broken)
            store.ship(chain, ended=True)
        return await rows_of(instance, sequences)

    monkeypatch.setattr(store, "rows_of", ended)
    found = [row.record.number async for row in here.asked(store).everything(Choice())]
    assert (len(asked_for), found) == (2, [0, 1, 2, 50])


async def test_everything_is_the_store_then_the_journals(here: Here) -> None:
    one, two = chain_of("one", range(0, 12, 2)), chain_of("two", range(1, 12, 2))
    here.add(one)
    here.add(two)
    store = FakeAsking()
    store.ship(one, 4)
    store.ship(two, 2)
    asked = here.asked(store)
    found = [row async for row in asked.everything(Choice())]
    assert [row.record.number for row in found] == [0, 1, 2, 3, 4, 6, 8, 10, 5, 7, 9, 11]
    assert all(row.private is not None and row.private.client == "192.0.2.7" for row in found)
    assert [row.record.number async for row in asked.everything(Choice(since_us=START + 9 * 60_000_000))] == [10, 9, 11]


async def test_thousands_of_records_come_from_the_store_page_by_page(here: Here) -> None:
    store = FakeAsking()
    store.ship(chain_of("one", range(2_500)))
    assert [row.record.number async for row in here.asked(store).everything(Choice())] == list(range(2_500))
    assert store.asked.count("page") == 3


async def test_the_journal_of_an_instance_that_is_shipped_to_its_end_is_not_read(here: Here) -> None:
    chain = chain_of("one", range(3))
    here.add(chain)
    store = FakeAsking()
    store.ship(chain, ended=True)
    here.chains.clear()
    assert await numbers(here.asked(store)) == [0, 1, 2]


async def test_a_stream_that_broke_off_is_seen_before_the_store_knows(here: Here) -> None:
    chain = chain_of("one", range(1))
    broken = chain.add(begin(7, START + DAY_US))
    here.add(chain)
    store = FakeAsking()
    store.ship(chain, 1)
    asked = here.asked(store)
    wanted = Question(until_hour=HOUR + 48, by=("status",))
    for _ in range(2):
        assert await numbers(asked, outcome="interrupted") == [7]
        assert [row.record.number async for row in asked.everything(Choice())] == [0, 7]
        assert (await sums(asked, wanted)).items[0].numbers["requests"] == 2
        store.ship(chain)
    chain.interrupt(broken)
    store.ship(chain, ended=True)
    assert await numbers(asked, outcome="interrupted") == [7]
    assert [row.record.number async for row in asked.everything(Choice())] == [0, 7]
    assert (await sums(asked, wanted)).items[0].numbers["requests"] == 2


async def test_a_stream_that_began_before_the_watermark_and_ended_behind_it_is_one_record(here: Here) -> None:
    chain = Chain("one")
    chain.add(begin(1, START))
    chain.add(record(2, START))
    chain.add(record(1, START))
    here.add(chain)
    store = FakeAsking()
    store.ship(chain, 2)
    assert await numbers(here.asked(store)) == [2, 1]


async def test_of_a_long_journal_the_newest_segments_are_read_and_that_is_said(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = chain_of("one", range(3))
    here.add(chain)
    asked = here.asked(None)
    page = await asked.page(Choice(), newest=True, after=None, limit=5)
    assert not page.partial
    monkeypatch.setattr("penstock.audit.beyond.MOST_BYTES", 5)
    for number, size in ((1, 4), (2, 3), (3, 2)):
        (here.data_dir / "journal" / "one" / f"{number:010}.segment").write_bytes(b"x" * size)
    assert (await asked.page(Choice(), newest=True, after=None, limit=5)).partial
    assert (await sums(asked, Question(until_hour=HOUR + 1))).partial


async def test_all_journals_together_have_one_bound_and_the_newest_are_read_first(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(9):
        here.add(chain_of(f"2026010{n + 1}T000000-0000000a", range(n * 10, n * 10 + 10)))
    asked = here.asked(None)
    everything = list(range(90))
    assert await numbers(asked) == everything
    size = sum(len(row.public) + len(row.private or b"") - 16 + 120 for row in chain_of("x", range(10)).rows)
    monkeypatch.setattr("penstock.audit.beyond.MOST_BYTES", 2 * size + 50)
    page = await asked.page(Choice(), newest=True, after=None, limit=100)
    assert page.partial
    assert [row.record.number for row in page.rows] == everything[:-31:-1]
    assert [row.record.number async for row in asked.everything(Choice())] == everything, "an export has no bound"


async def test_journals_that_take_too_long_are_passed_over_and_that_is_said(here: Here) -> None:
    here.add(chain_of("one", range(3)))
    store = FakeAsking()
    store.ship(chain_of("elsewhere", range(5)))
    asked = here.asked(store, most_s=-1.0)
    page = await asked.page(Choice(), newest=True, after=None, limit=100)
    assert ([row.instance for row in page.rows], page.partial) == (["elsewhere"] * 5, True)
    found = await sums(asked, question())
    assert (found.items[0].numbers["requests"], found.partial) == (5, True)


@pytest.mark.parametrize("newest", [True, False])
async def test_of_a_journal_that_takes_too_long_the_newest_are_read(
    here: Here, newest: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = chain_of("one", range(20))
    here.add(chain)
    store = FakeAsking()
    store.ship(chain, 3)
    monkeypatch.setattr(Reader, "at_once", 4)
    asked = here.asked(store)
    size = len(chain.rows[0].public) + len(chain.rows[0].private or b"") - 16 + 120
    monkeypatch.setattr("penstock.audit.beyond.MOST_BYTES", 5 * size)
    page = await asked.page(Choice(), newest=newest, after=None, limit=100)
    found = sorted(row.record.number for row in page.rows)
    assert (found, page.partial) == ([0, 1, 2, *range(15, 20)], True), "the last five are in two batches"
    assert (await sums(asked, question())).items[0].numbers["requests"] == 8
    monkeypatch.setattr("penstock.audit.beyond.MOST_BYTES", 50 * size)
    page = await asked.page(Choice(), newest=newest, after=None, limit=100)
    assert (len(page.rows), page.partial) == (20, False)


async def test_a_journal_that_cannot_be_read_holds_up_no_other_and_that_is_said(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.add(chain_of("one", range(3)))
    here.add(chain_of("two", range(3, 6)))
    here.add(chain_of("three", range(6, 9)))
    store = FakeAsking()
    store.ship(chain_of("elsewhere", range(9, 12)))
    unseen = here.data_dir / "journal" / "unseen"
    unseen.symlink_to("unseen")  # nobody can follow it, whoever runs the test
    (here.data_dir / "journal" / "notes").write_text("no journal")
    read = Reader.read

    def fails(self: Reader, *where: Any) -> Any:
        if self._chain.instance == "two":
            raise PermissionError(13, "Permission denied")
        return read(self, *where)

    monkeypatch.setattr(Reader, "read", fails)
    told: list[str] = []
    asked = here.asked(store, report=told.append)
    for _ in range(2):
        page = await asked.page(Choice(), newest=False, after=None, limit=100)
        assert ([row.record.number for row in page.rows], page.partial) == ([0, 1, 2, *range(6, 12)], True)
        found = await sums(asked, question())
        assert (found.items[0].numbers["requests"], found.partial) == (9, True)
        assert sorted([row.record.number async for row in asked.everything(Choice())]) == [0, 1, 2, *range(6, 12)]
    two = here.data_dir / "journal" / "two"
    assert sorted(told) == [
        f"{two} cannot be read: Permission denied",
        f"{unseen} cannot be read: Too many levels of symbolic links",
    ], "once each"
    monkeypatch.setattr(Reader, "read", read)
    unseen.unlink()
    assert not (await asked.page(Choice(), newest=False, after=None, limit=100)).partial
    assert await numbers(asked) == list(range(12))


async def test_what_is_removed_while_it_is_read_is_not_read_twice(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = chain_of("one", range(12))
    here.add(chain)
    monkeypatch.setattr(Reader, "at_once", 4)
    read = Reader.read

    def gone(self: Reader, segment: int, offset: int, *more: Any) -> Any:
        """The first eight go once the last have been read."""
        calls.append(offset)
        return read(self, segment, 8 if len(calls) > 3 else offset, *more)

    calls: list[int] = []
    monkeypatch.setattr(Reader, "read", gone)
    found = await sums(here.asked(None), question())
    assert found.items[0].numbers["requests"] == 4


async def test_what_was_cut_within_a_journal_is_not_taken_for_broken_off(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Chain("one")
    chain.add(begin(1, START))
    chain.add(record(2, START))
    chain.add(record(1, START))
    here.add(chain)
    monkeypatch.setattr(Reader, "at_once", 2)
    asked = here.asked(None)
    assert await numbers(asked) == [2, 1]
    monkeypatch.setattr("penstock.audit.beyond.MOST_BYTES", 10)
    page = await asked.page(Choice(), newest=True, after=None, limit=100)
    assert ([row.record.number for row in page.rows], page.partial) == ([1], True)


def test_where_a_bounded_reading_begins(tmp_path: Path) -> None:
    for number, size in ((1, 40), (2, 30), (3, 20)):
        (tmp_path / f"{number:010}.segment").write_bytes(b"x" * size)

    def start(segment: int, offset: int, most: int) -> tuple[int, int, bool]:
        return journals.bounded_start(str(tmp_path), segment, offset, most)

    assert start(0, 0, 90) == (0, 0, False)
    assert start(0, 0, 89) == (2, 0, True)
    assert start(1, 1, 89) == (1, 1, False)
    assert start(0, 0, 49) == (3, 0, True)
    assert start(0, 0, 1) == (3, 0, True), "the newest one is always read"
    assert start(3, 5, 1) == (3, 5, False)
    assert start(9, 5, 1) == (9, 5, False)

    (tmp_path / "committed").write_bytes(struct.pack("<QQI", 3, 15, 0))
    assert start(0, 0, 85) == (0, 0, False), "what is not committed is not counted"
    assert journals.bytes_behind(str(tmp_path), 3, 15) == 0
    assert journals.bytes_behind(str(tmp_path), 2, 0) == 45


# --- sums ---


def question(**wanted: Any) -> Question:
    return Question(**{"since_hour": HOUR, "until_hour": HOUR + 24} | wanted)


async def counted(asked: Asked, **wanted: Any) -> list[tuple[Any, ...]]:
    found = await sums(asked, question(**wanted))
    return [(*each.of.values(), each.numbers["requests"], each.numbers["prompt_tokens"]) for each in found.items]


async def test_a_sum_counts_what_the_store_does_not_have_yet_once(here: Here) -> None:
    chain = chain_of("one", range(10), usage=used(3, 4), key_id="k", tags={"env": "prod"}, cost_nanousd=5)
    here.add(chain)
    here.add(chain_of("two", range(5), status=429, outcome="complete"))
    store = FakeAsking()
    store.ship(chain, 3)
    asked = here.asked(store)
    assert await counted(asked) == [(15, 30)]
    store.before_rows = lambda: store.ship(chain, 8)
    assert await counted(asked) == [(15, 30)], "some of it was shipped meanwhile"
    assert await counted(here.asked(None)) == [(15, 30)]
    assert await counted(asked, by=("key", "status")) == [(None, 429, 5, 0), ("k", 200, 10, 30)]
    assert await counted(asked, by=("tag:env",)) == [(None, 5, 0), ("prod", 10, 30)]
    assert await counted(asked, by=("team", "model", "target")) == [(None, "fast", "up/real", 15, 30)]
    assert await counted(asked, key="k", statuses=(200, 299), tag=("env", "prod")) == [(10, 30)]
    assert await counted(asked, statuses=(500, 599)) == []
    assert await counted(asked, until_hour=HOUR) == []


async def test_models_that_clients_make_up_are_one_sum(here: Here) -> None:
    chain = Chain("one")
    for number in range(3):
        chain.add(record(number, START, model=f"made-up-{number}", status=404, key_id="k"))
    for number, (status, error) in enumerate(REFUSALS, 3):
        chain.add(record(number, START, model=f"up/{number}", target=None, status=status, error=error, key_id="k"))
    chain.add(record(9, START, status=400, key_id="k"))
    here.add(chain)
    store = FakeAsking()
    store.ship(chain, 2)
    for asked in (here.asked(None), here.asked(store)):
        by = await counted(asked, by=("model", "target", "status"), key="k")
        assert by == [
            (None, None, 400, 3, 0),
            (None, None, 403, 2, 0),
            (None, None, 404, 3, 0),
            (None, None, 503, 1, 0),
            ("fast", "up/real", 400, 1, 0),
        ]
        assert await counted(asked, model="made-up-1") == []
        assert await counted(asked, target="up") == [(1, 0)]


async def test_what_has_no_price_is_counted_and_costs_nothing_known(here: Here) -> None:
    chain = Chain("one")
    chain.add(record(1, START, usage=used(1, 1), cost_nanousd=7))
    chain.add(record(2, START, usage=used(1, 1)))
    chain.add(record(3, START, count=9, status=429))
    here.add(chain)
    (found,) = (await sums(here.asked(None), question())).items
    assert (found.numbers["cost_nanousd"], found.numbers["unpriced"], found.numbers["requests"]) == (7, 1, 11)
    assert list(found.numbers) == list(NUMBERS)


async def test_sums_are_dated_by_where_their_time_begins(here: Here) -> None:
    chain = Chain("one")
    for number, days in enumerate((0, 1, 27, 28)):
        chain.add(record(number, START + days * DAY_US + HOUR_US))
    here.add(chain)
    asked = here.asked(None)

    async def at(per: Any) -> list[int | None]:
        found = await sums(asked, Question(per=per, since_hour=HOUR, until_hour=HOUR + 24 * 30))
        return [each.at_us for each in found.items]

    assert await at("hour") == [START + days * DAY_US + HOUR_US for days in (0, 1, 27, 28)]
    assert await at("day") == [START + days * DAY_US for days in (0, 1, 27, 28)]
    october, november = START - 3 * DAY_US, START + 28 * DAY_US
    assert await at("month") == [october, november]
    assert await at(None) == [None]


async def test_more_sums_than_an_answer_holds_are_refused(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    here.add(chain_of("one", range(120)))
    asked = here.asked(None)
    monkeypatch.setattr("penstock.audit.sums.MOST", 1)
    with pytest.raises(TooManyError):
        await sums(asked, question(per="hour"))
    assert len((await sums(asked, question())).items) == 1


def test_hours_days_and_months_begin_at_utc() -> None:
    moment = 1_709_294_400_000_000  # 2024-03-01T12:00:00Z
    assert hour_of(moment) * 3600 == 1_709_294_400
    assert day_of(hour_of(moment)) * 3600 == month_of(hour_of(moment)) * 3600 == 1_709_251_200


def test_places_order_records_by_time_then_by_who_wrote_them() -> None:
    row = journals.Row("one", 3, msgspec.msgpack.decode(chain_of("one", range(1)).rows[0].public, type=Record), None)
    assert tuple(place_of(row)) == (START, "one", 3)
