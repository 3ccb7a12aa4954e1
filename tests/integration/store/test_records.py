"""Records in the store: a batch goes in whole, once, with its watermark and sums; what is too old goes for good."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.audit.packer import Packer
from penstock.audit.stored import verify
from penstock.audit.unshipped import Unshipped
from penstock.engine import Rows, open_journal, open_rows
from penstock.store.database import Session
from penstock.store.open import make_asking, make_records, make_store
from penstock.store.records import Records, Watermark
from penstock.store.sql import SqlStore
from penstock.times import DAY_US, HOUR_US
from tests.support.journal import MadeJournal
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import Postgres
from tests.support.stored_rows import REFUSALS

from .conftest import BEHIND_SERVER

DAY = 20_780
NOON_US = DAY * DAY_US + 12 * HOUR_US
TOKENS = (
    "prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, audio_tokens, image_tokens"
)


class Place:
    """A store with its records, and what is in them."""

    def __init__(self, make: Callable[[], tuple[SqlStore, Records]]) -> None:
        self._make = make
        self._open: list[SqlStore | Records] = []

    async def node(self) -> Records:
        """One more process on the store."""
        store, records = self._make()
        self._open += [records, store]
        await store.open(migrate=True)
        self.store = store
        return records

    async def all(self, sql: str, *values: int | str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.store.database.ask(sql, *values)]

    async def close(self) -> None:
        for each in self._open:
            await each.close()


@pytest.fixture(params=["sqlite", *BEHIND_SERVER])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return "sqlite"
    name: str = request.getfixturevalue("database")
    behind: Postgres | PgBouncer = request.getfixturevalue(request.param)
    return behind.url(name)


@pytest.fixture
async def place(url: str, tmp_path: Path) -> AsyncIterator[Place]:
    def make() -> tuple[SqlStore, Records]:
        store = make_store(url, str(tmp_path))
        return store, make_records(url, store)

    made = Place(make)
    yield made
    await made.close()


def packed(journal: MadeJournal, before: Watermark | None = None, *, most: int = 1 << 20, live: bool = True) -> Rows:
    place = (before.segment, before.offset, before.sequence) if before else (0, 0, 0)
    days = (before.day if before else DAY, DAY + 10)
    begun = before.begun if before else b""
    return open_rows(str(journal.path)).rows(place, most, live, days, begun, spare=False)


def behind(journal: MadeJournal, rows: Rows, *, ended: bool = False) -> Watermark:
    return Watermark(
        instance=journal.instance, segment=rows.segment, offset=rows.offset, sequence=rows.sequence, hash=rows.hash,
        day=rows.day, ended=ended, begun=rows.begun,
    )  # fmt: skip


async def ship(records: Records, journal: MadeJournal, before: Watermark | None = None) -> Watermark:
    rows = packed(journal, before)
    after = behind(journal, rows)
    assert await records.ship(rows, before, after, days=rows.days)
    return after


async def test_a_batch_brings_rows_sums_and_watermark(place: Place, tmp_path: Path) -> None:
    records = await place.node()
    journal = MadeJournal(tmp_path, "one")
    journal.begin(1, started_us=NOON_US)
    journal.record(1, ended_us=NOON_US)
    journal.record(2, ended_us=NOON_US + 2 * DAY_US, key=None, status=None, private=None)
    after = await ship(records, journal)
    assert dict(await records.watermarks(["one", "two"])) == {"one": after}
    assert await place.all(
        "SELECT day, sequence, kind, number, count, request_id, key_id, team, model, target, status, outcome, error,"
        " prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, audio_tokens,"
        " image_tokens, cost_nanousd, total_us, started_us FROM penstock_records ORDER BY sequence"
    ) == [
        (DAY, 1, 2, 1, None, "req-1", "k", "lab", "fast", "up/real", *[None] * 12, NOON_US),
        (DAY, 2, 1, 1, 1, "req-1", "k", "lab", "m", "up/real", 200, "complete", "upstream_cut",
         1, 2, 3, 4, 5, 6, 7, 10**12, 5_000_000, NOON_US - 5_000_000),
        (DAY + 2, 3, 1, 2, 1, "req-2", None, "lab", "m", "up/real", None, "complete", "upstream_cut",
         1, 2, 3, 4, 5, 6, 7, 10**12, 5_000_000, NOON_US + 2 * DAY_US - 5_000_000),
    ]  # fmt: skip
    found = open_journal(str(journal.path)).read(0, 0, 1 << 20, True)[0]
    kept = await place.all("SELECT public, private, hash FROM penstock_records ORDER BY sequence")
    assert [bytes(row[0]) for row in kept] == [entry[4] for entry in found]
    assert [row[1] and bytes(row[1])[16:] for row in kept] == [entry[5] for entry in found]
    assert bytes(kept[2][2]) == journal.hash
    hour = (NOON_US - 5_000_000) // HOUR_US
    assert await place.all(
        "SELECT hour, key_id, team, model, target, status, tags, requests, prompt_tokens, completion_tokens,"
        " cached_tokens, cache_write_tokens, reasoning_tokens, audio_tokens, image_tokens, cost_nanousd, unpriced"
        " FROM penstock_usage ORDER BY hour"
    ) == [
        (hour, "k", "lab", "m", "up/real", 200, "{}", 1, 1, 2, 3, 4, 5, 6, 7, 10**12, 0),
        (hour + 48, "", "lab", "m", "up/real", 0, "{}", 1, 1, 2, 3, 4, 5, 6, 7, 10**12, 0),
    ]


async def test_sums_grow_with_each_batch_and_by_count(place: Place, tmp_path: Path) -> None:
    records = await place.node()
    journal = MadeJournal(tmp_path, "one")
    mark = None
    for number in range(1, 4):
        journal.record(number, ended_us=NOON_US)
        if number > 1:
            journal.turn()
        mark = await ship(records, journal, mark)
    places = [1, 4, 7, *[None] * 3, NOON_US, "k", "lab", *[None] * 4, "m", "up/real", 429, "complete", "x"]
    journal.put(1, msgspec.msgpack.encode(places))
    await ship(records, journal, mark)
    assert await place.all("SELECT status, requests, prompt_tokens, unpriced FROM penstock_usage ORDER BY status") == [
        (200, 3, 3, 0),
        (429, 7, 0, 0),
    ]


async def test_models_that_clients_make_up_are_one_sum(place: Place, tmp_path: Path) -> None:
    records = await place.node()
    journal = MadeJournal(tmp_path, "one")
    for number in range(5):
        journal.record(number, ended_us=NOON_US, model=f"made-up-{number}", status=404)
    for status, error in REFUSALS:
        refused = [1, 9, 1, *[None] * 3, NOON_US - 5_000_000, "k", "lab", *[None] * 4, error, None, status, "complete"]
        journal.put(1, msgspec.msgpack.encode([*refused, error]))
    journal.record(10, ended_us=NOON_US, status=400)
    await ship(records, journal)
    found = await place.all("SELECT model, target, status, requests FROM penstock_usage ORDER BY status, model")
    assert found == [("", "", 400, 3), ("m", "up/real", 400, 1), ("", "", 403, 2), ("", "", 404, 5), ("", "", 503, 1)]
    assert len(await place.all("SELECT DISTINCT model FROM penstock_records")) == 12, "each record has its own"


async def test_what_one_batch_sums_to_has_a_bound(place: Place, tmp_path: Path) -> None:
    records = await place.node()
    journal = MadeJournal(tmp_path, "one")
    for number in range(901):
        journal.record(number, ended_us=NOON_US)
    mark = await ship(records, journal)
    assert await place.all("SELECT requests, cost_nanousd FROM penstock_usage") == [(901, 9 * 10**14)]
    journal.record(902, ended_us=NOON_US)
    await ship(records, journal, mark)
    assert await place.all("SELECT requests, cost_nanousd FROM penstock_usage") == [(902, 9 * 10**14)]


async def test_absurd_numbers_and_texts_do_not_stop_what_follows(place: Place, tmp_path: Path) -> None:
    records = await place.node()
    journal = MadeJournal(tmp_path, "one")
    most, long = 2**64 - 1, "ü\0" * 500
    tags = {f"{n}{long[:250]}": long[:250] for n in range(16)}
    for number in (1, most, 3):
        places = [1, number, most, long, long, long, NOON_US, long, long, "d", "a", "m", "p", long, long, 60_000, long]
        places += [long, [], [most] * 7, "provider", None, most, most, [0, 0, 0, 0, 0, most, 0], 0, 0, 0, None, 0, 0]
        journal.put(1, msgspec.msgpack.encode([*places, tags, None]))
    places = [1, 5, 1, None, None, None, most, *[None] * 9, "complete", None]
    journal.put(1, msgspec.msgpack.encode(places))
    journal.put(1, b"\xff no list")
    journal.put(200, b"of a later release")
    await ship(records, journal)
    ((requests, tokens, unpriced),) = await place.all("SELECT requests, image_tokens, unpriced FROM penstock_usage")
    assert (requests, tokens, unpriced) == (3 * (2**31 - 1), 3 * 10**12, 3 * (2**31 - 1))
    assert await place.all("SELECT count(*) FROM penstock_records") == [(6,)]
    ((key, image),) = await place.all("SELECT key_id, image_tokens FROM penstock_records WHERE sequence = 2")
    assert (key[:3], len(key.encode()), image) == ("ü�ü", 425, 2**63 - 1)


async def test_whoever_comes_second_changes_nothing(place: Place, tmp_path: Path) -> None:
    first, second = await place.node(), await place.node()
    journal = MadeJournal(tmp_path, "one")
    journal.record(1, ended_us=NOON_US)
    rows = packed(journal)
    after = behind(journal, rows)
    once = await asyncio.gather(*(each.ship(rows, None, after, days=rows.days) for each in (first, second)))
    assert sorted(once) == [False, True]
    journal.record(2, ended_us=NOON_US)
    more = packed(journal, after)
    later = behind(journal, more)
    again = await asyncio.gather(*(each.ship(more, after, later, days=more.days) for each in (first, second)))
    assert sorted(again) == [False, True]
    assert await place.all("SELECT sequence FROM penstock_records ORDER BY sequence") == [(1,), (2,)]
    assert await place.all("SELECT requests FROM penstock_usage") == [(2,)]
    assert dict(await first.watermarks(["one"])) == {"one": later}


async def test_streams_without_a_record_end_with_their_process(place: Place, tmp_path: Path) -> None:
    records = await place.node()
    journal = MadeJournal(tmp_path, "one")
    for number in range(1, 4):
        journal.begin(number, started_us=NOON_US)
    journal.record(2, ended_us=NOON_US)
    mark = await ship(records, journal)
    rows = packed(journal, mark, live=False)
    assert (rows.count, rows.interrupted()) == (0, [1, 3])
    ended = msgspec.structs.replace(mark, ended=True)
    assert await records.ship(None, mark, ended, interrupted=rows.interrupted())
    assert await place.all(
        "SELECT sequence, status, count FROM penstock_records WHERE outcome = 'interrupted' ORDER BY sequence"
    ) == [(1, 200, 1), (3, 200, 1)]
    assert await place.all("SELECT model, requests, unpriced FROM penstock_usage ORDER BY model") == [
        ("fast", 2, 0),
        ("m", 1, 0),
    ]
    assert not await records.ship(None, ended, mark), "what has ended is over"


async def test_streams_end_with_a_process_that_was_named_by_a_clock_ahead(place: Place, tmp_path: Path) -> None:
    records = await place.node()
    name = time.strftime("%Y%m%dT000000-0000000a", time.gmtime((DAY + 2) * 86_400))
    journal = MadeJournal(tmp_path, name)
    journal.begin(1, started_us=NOON_US)
    mark = await ship(records, journal)
    journal.begin(2, started_us=NOON_US + 4 * DAY_US)
    journal.record(3, ended_us=NOON_US + 4 * DAY_US)
    mark = await ship(records, journal, mark)
    assert await records.ship(None, mark, msgspec.structs.replace(mark, ended=True), interrupted=[1, 2])
    found = await place.all("SELECT day, sequence FROM penstock_records WHERE outcome = 'interrupted' ORDER BY 2")
    assert found == [(DAY, 1), (DAY + 4, 2)]
    assert await place.all("SELECT sum(requests) FROM penstock_usage") == [(3,)]


async def test_what_ends_with_a_process_waits_for_no_day_before_its_beginning(place: Place, tmp_path: Path) -> None:
    records = await place.node()
    await records.make_days([DAY - 1])
    name = time.strftime("%Y%m%dT000000-0000000a", time.gmtime(DAY * 86_400))
    journal = MadeJournal(tmp_path, name)
    journal.begin(1, started_us=NOON_US)
    mark = await ship(records, journal)
    is_held, done = asyncio.Event(), asyncio.Event()

    async def hold(session: Session) -> None:
        await session.script(f"LOCK TABLE penstock_records_{DAY - 1} IN ACCESS EXCLUSIVE MODE")
        is_held.set()
        await done.wait()

    held = []
    if place.store.database.flavour.partitions is not None:
        held.append(asyncio.ensure_future(place.store.database.write(hold, patient=True)))
        await is_held.wait()
    async with asyncio.timeout(5):
        assert await records.ship(None, mark, msgspec.structs.replace(mark, ended=True), interrupted=[1])
    done.set()
    await asyncio.gather(*held)
    assert await place.all("SELECT sequence, outcome FROM penstock_records") == [(1, "interrupted")]
    assert await place.all("SELECT requests FROM penstock_usage") == [(1,)]


async def test_a_clock_that_is_behind_files_nothing_under_days_that_are_over(place: Place, tmp_path: Path) -> None:
    records, packer = await place.node(), Packer()
    journal = MadeJournal(tmp_path, time.strftime("%Y%m%dT000000-0000000a", time.gmtime(DAY * 86_400)))
    for day in (0, 1, 3, 9):
        journal.record(day, ended_us=NOON_US + day * DAY_US)
    journal.end()
    changed_s = NOON_US // 1_000_000 + 3 * 86_400
    os.utime(journal.path / "committed", (changed_s, changed_s))
    unshipped = Unshipped(str(journal.path), records, packer, open_rows, most_bytes=1 << 20)
    assert not await unshipped.step((1 - 90, 2))
    packer.close()
    found = await place.all("SELECT day FROM penstock_records ORDER BY sequence")
    assert [day - DAY for (day,) in found] == [0, 1, 3, 4, 4], "none behind the day after its last"
    assert (await records.purge_records(DAY), await records.purge_watermarks(DAY)) == (0, 0)


async def test_what_is_too_old_goes_for_good(place: Place, tmp_path: Path) -> None:
    records = await place.node()
    journal = MadeJournal(tmp_path, "one")
    for day in range(4):
        journal.record(day, ended_us=NOON_US + day * DAY_US, private=b"a very private thing")
    await ship(records, journal)
    while await records.purge_records(DAY + 2):
        pass
    await records.wipe()
    assert await place.all("SELECT day FROM penstock_records ORDER BY day") == [(DAY + 2,), (DAY + 3,)]
    newest = [await records.newest_hour(NOON_US // HOUR_US + hours) for hours in (-1, 0, 24, 99)]
    assert newest == [None, *(NOON_US // HOUR_US - 1 + days * 24 for days in (0, 1, 3))]
    assert await records.purge_usage((DAY + 1) * 24) == 1
    assert await records.purge_usage((DAY + 1) * 24) == 0
    assert await place.all("SELECT count(*) FROM penstock_usage") == [(3,)]
    file = tmp_path / "penstock.sqlite"
    if file.exists():
        left = [path.read_bytes().count(b"a very private thing") for path in (file, Path(f"{file}-wal"))]
        assert left == [2, 0]


async def test_long_rows_are_deleted_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store("sqlite", str(tmp_path))
    await store.open(migrate=True)
    records = make_records("sqlite", store)
    journal = MadeJournal(tmp_path, "one")
    for number in range(10):
        journal.record(number, ended_us=NOON_US, private=b"\x92\xc5\x13\x88" + b"a" * 5_000 + b"\xc0")
    await ship(records, journal)
    monkeypatch.setattr("penstock.store.records.BYTES_AT_ONCE", 12_000)
    assert [await records.purge_records(DAY + 1) for _ in range(5)] == [3, 3, 3, 1, 0]
    await store.close()


async def test_older_days_go_first_though_they_were_shipped_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store("sqlite", str(tmp_path))
    await store.open(migrate=True)
    records, asking = make_records("sqlite", store), make_asking("sqlite", str(tmp_path))
    late, left = MadeJournal(tmp_path, "two"), MadeJournal(tmp_path, "one")
    late.record(1, ended_us=NOON_US + DAY_US)
    for number in range(3):
        left.record(number, ended_us=NOON_US)
    left.record(3, ended_us=NOON_US + 3 * DAY_US)
    await ship(records, late)
    await ship(records, left)
    monkeypatch.setattr("penstock.store.records.AT_ONCE", 1)
    gone = []
    while await records.purge_records(DAY + 2):
        reports = await verify(asking)
        assert [report.fault for report in reports] == [None, None]
        gone.append([report.removed for report in reports])
    assert gone == [[1, 0], [2, 0], [3, 0], [3, 1]]
    await asking.close()
    await store.close()


async def test_watermarks_stay_until_their_journal_has_ended(place: Place, tmp_path: Path) -> None:
    records = await place.node()
    for name in ("gone", "here"):
        journal = MadeJournal(tmp_path, name)
        journal.record(1, ended_us=NOON_US)
        mark = await ship(records, journal)
        if name == "gone":
            assert await records.ship(None, mark, msgspec.structs.replace(mark, ended=True))
    assert await records.purge_watermarks(DAY) == 0
    assert await records.purge_watermarks(DAY + 1) == 1
    assert list(await records.watermarks(["gone", "here"])) == ["here"]


async def test_days_are_made_ahead_and_by_all_nodes_at_once(place: Place, tmp_path: Path) -> None:
    nodes = [await place.node() for _ in range(3)]
    await asyncio.gather(*(node.make_days([DAY, DAY + 1, DAY + 2]) for node in nodes))
    journal = MadeJournal(tmp_path, "one")
    journal.record(1, ended_us=NOON_US + DAY_US)
    await ship(nodes[0], journal)
    assert await place.all("SELECT day FROM penstock_records") == [(DAY + 1,)]
    assert abs(await nodes[0].now_us() - await nodes[1].now_us()) < 60_000_000
