"""What a store is asked about records, on every store: pages, sums, spending, what it does not take long for."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from penstock.audit.asked import as_row, place_of
from penstock.audit.choice import Choice
from penstock.audit.record import HEAD_BYTES, Private
from penstock.audit.stored import verify
from penstock.store.asking import Asking, Stored
from penstock.store.asking_statements import Place
from penstock.store.database import Database, Session
from penstock.store.forgetting import Forgetting
from penstock.store.interface import StoreAwayError
from penstock.store.migrate import FOLDER, bring_up, read_migrations
from penstock.store.open import ALONE_S
from penstock.store.postgres import PostgresDatabase
from penstock.store.sqlite import SqliteDatabase
from penstock.store.usage_statements import NUMBERS, Question
from penstock.times import DAY_US, HOUR_US
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import Postgres
from tests.support.stored_rows import KEYS, Chain, begin, insert, record, ship, used

from .conftest import BEHIND_SERVER

START = 20_000 * DAY_US
HOUR = START // HOUR_US


class Open(NamedTuple):
    """A store with the schema: one handle that asks, one that writes."""

    asking: Asking
    database: Database
    make: Callable[[float], Database]


Make = Callable[[float], Database]


@pytest.fixture(params=["sqlite", *BEHIND_SERVER])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes databases, not opened yet, on one store whose schema may be missing; takes the seconds of a call."""
    if request.param == "sqlite":
        path = str(tmp_path / "penstock.sqlite")
        return lambda seconds: SqliteDatabase(path, call_s=seconds)
    name: str = request.getfixturevalue("database")
    behind: Postgres | PgBouncer = request.getfixturevalue(request.param)
    return lambda seconds: PostgresDatabase(behind.url(name), call_s=seconds)


@pytest.fixture
async def store(make: Make) -> AsyncIterator[Open]:
    writer = make(ALONE_S)
    await writer.open()
    await bring_up(writer, read_migrations(FOLDER / writer.flavour.migrations), migrate=True)
    asking = Asking(make(ALONE_S))
    yield Open(asking, writer, make)
    await asking.close()
    await writer.close()


@pytest.fixture
async def filled(store: Open) -> Asking:
    """Two journals whose requests began in turn, five minutes apart."""
    one, two = Chain("20260101T000000-00000001"), Chain("20260101T000000-00000002")
    for number in range(10):
        chain = two if number % 2 else one
        fields: dict[str, Any] = {
            "key_id": "kA" if number < 6 else "kB",
            "team": "lab" if number < 3 else None,
            "model": "fast" if number % 3 else "slow",
            "target": "up/real" if number % 3 else "upper/x",
            "status": (200, 429, None)[number % 3],
            "outcome": ("complete", "complete", "client_gone")[number % 3],
            "usage": used(10, number) if number % 3 == 0 else None,
            "cost_nanousd": 1_000 if number == 3 else None,
            "tags": {"env": "prod", "app": "a b"} if number < 2 else {"env": 'x"y'} if number == 2 else None,
        }
        chain.add(record(number, START + number * 300_000_000, **fields), ("192.0.2.7", None))
    open_one = one.add(begin(100, START + 7))
    broken = two.add(begin(101, START + 9))
    two.interrupt(broken)
    assert open_one.columns[9] is None
    await ship(store.database, one)
    await ship(store.database, two, ended=True)
    return store.asking


async def numbers(asking: Asking, newest: bool = False, **chosen: Any) -> list[int]:
    found = await asking.page(Choice(**chosen), newest, None, 100)
    return [(each.sequence - 1) * 2 + (each.instance[-1] == "2") for each in found]


async def test_records_are_chosen_by_every_condition(filled: Asking) -> None:
    first = START + 300_000_000
    assert await numbers(filled) == [0, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9], "the stream that broke off is one, too"
    assert await numbers(filled, newest=True) == [9, 8, 7, 6, 5, 4, 3, 2, 1, 11, 0]
    assert await numbers(filled, since_us=first, until_us=first + 600_000_000) == [1, 2]
    assert await numbers(filled, since_us=first + 1, until_us=first + 1) == []
    assert await numbers(filled, key="kB") == [6, 7, 8, 9]
    assert await numbers(filled, team="lab") == [0, 1, 2]
    assert await numbers(filled, model="slow") == [0, 3, 6, 9]
    assert await numbers(filled, target="up/real", key="kB") == [7, 8]
    assert await numbers(filled, target="up", key="kB") == [7, 8], "a provider is not the beginning of another's name"
    assert await numbers(filled, target="upper") == [0, 3, 6, 9]
    assert await numbers(filled, status="429") == [1, 4, 7]
    assert await numbers(filled, status="2xx", key="kA") == [0, 3]
    assert await numbers(filled, outcome="client_gone") == [2, 5, 8]
    assert await numbers(filled, outcome="interrupted") == [11]
    assert await numbers(filled, request_id="req_7") == [7]
    assert await numbers(filled, tag=("env", "prod")) == [0, 1]
    assert await numbers(filled, tag=("env", 'x"y')) == [2]
    assert await numbers(filled, tag=("$.env", "prod")) == []
    assert await numbers(filled, model="'; --") == []
    assert await numbers(filled, model="\0") == []


@pytest.mark.parametrize("newest", [False, True])
async def test_pages_follow_each_other_without_gap_or_double(filled: Asking, newest: bool) -> None:
    whole = await filled.page(Choice(), newest, None, 100)
    for size in (1, 3, 11):
        found: list[Stored] = []
        after = None
        while page := await filled.page(Choice(), newest, after, size):
            found += page
            after = place_of(as_row(page[-1]))
        assert found == whole


async def test_records_of_one_moment_are_paged_too(store: Open) -> None:
    chain = Chain("one")
    for number in range(5):
        chain.add(record(number, START))
    await ship(store.database, chain)
    first = await store.asking.page(Choice(), True, None, 2)
    second = await store.asking.page(Choice(), True, Place(START, "one", first[-1].sequence), 9)
    assert [each.sequence for each in (*first, *second)] == [5, 4, 3, 2, 1]


async def test_what_is_private_comes_with_its_salt(filled: Asking) -> None:
    (one,) = await filled.page(Choice(request_id="req_3"), False, None, 5)
    assert one.private is not None
    assert bytes(one.private)[16:] == b"\x92\xa9192.0.2.7\xc0"


def question(**wanted: Any) -> Question:
    return Question(**{"since_hour": HOUR, "until_hour": HOUR + 24} | wanted)


async def test_sums_are_of_what_was_asked_for(filled: Asking) -> None:
    async def sums(**wanted: Any) -> list[tuple[int, tuple[str | int, ...], int, int]]:
        found, _ = await filled.sums(question(**wanted), 100, ())
        at = NUMBERS.index("completion_tokens")
        return [(time, of, int(counts[0]), int(counts[at])) for time, of, counts in found]

    assert await sums() == [(0, (), 10, 0 + 3 + 6 + 9)]
    assert await sums(by=("key",)) == [(0, ("kA",), 6, 3), (0, ("kB",), 4, 15)]
    assert await sums(by=("team", "model")) == [
        (0, ("", "fast"), 4, 0), (0, ("", "slow"), 3, 18), (0, ("lab", "fast"), 2, 0), (0, ("lab", "slow"), 1, 0),
    ]  # fmt: skip
    assert await sums(by=("status",)) == [(0, (0,), 3, 0), (0, (200,), 4, 18), (0, (429,), 3, 0)]
    assert await sums(by=("tag:env",)) == [(0, ("",), 7, 18), (0, ("prod",), 2, 0), (0, ('x"y',), 1, 0)]
    assert await sums(tag=("app", "a b"), by=("target",)) == [(0, ("up/real",), 1, 0), (0, ("upper/x",), 1, 0)]
    assert await sums(key="kA", statuses=(400, 499)) == [(0, (), 2, 0)]
    assert await sums(target="up") == [(0, (), 6, 0)]
    assert await sums(per="hour") == [(HOUR, (), 10, 18)]
    assert await sums(per="day") == [(20_000, (), 10, 18)]
    assert await sums(per="month") == [(2024 * 12 + 9, (), 10, 18)], "day 20,000 is 4 October 2024"
    assert await sums(since_hour=HOUR + 1) == []
    assert await sums(until_hour=HOUR) == []
    assert await sums(team="\0") == []
    _, (marks) = await filled.sums(question(), 100, ["20260101T000000-00000002", "unknown"])
    assert [(each.sequence, each.ended) for each in marks.values()] == [(6, True)]


async def test_months_are_those_of_the_calendar(store: Open) -> None:
    chain = Chain("one")
    moments = (1_704_067_199, 1_704_067_200, 1_709_251_199, 1_709_251_200)  # around 1 January and 1 March 2024
    for number, second in enumerate(moments):
        chain.add(record(number, second * 1_000_000))
    await ship(store.database, chain)
    found, _ = await store.asking.sums(Question(per="month", until_hour=1 << 30), 100, ())
    months = [(*divmod(at, 12), counts[0]) for at, _, counts in found]
    assert months == [(2023, 11, 1), (2024, 0, 1), (2024, 1, 1), (2024, 2, 1)]


async def test_what_a_key_has_spent_is_known(filled: Asking) -> None:
    assert await filled.spend("kA", HOUR, HOUR - 24) == (6, 23, 1_000, 1) * 2
    assert await filled.spend("kA", HOUR + 1, HOUR - 24) == (0, 0, 0, 0, 6, 23, 1_000, 1)
    assert await filled.spend("nobody", HOUR, HOUR) == (0,) * 8


async def test_sums_beyond_64_bits_are_the_most_there_is(store: Open) -> None:
    async def fill(session: Session) -> None:
        for hour in range(3):
            of = (HOUR + hour, "k", "", "", "", 200, "{}")
            await insert(session, "penstock_usage", ", ".join((*KEYS, *NUMBERS)), (*of, 7, *[4 * 10**18] * 8, 1))

    await store.database.write(fill)
    most = 9 * 10**18
    ((_, _, counts),), _ = await store.asking.sums(question(), 10, ())
    assert tuple(counts) == (21, *[most] * 8, 3)
    found, _ = await store.asking.sums(question(per="hour"), 10, ())
    assert [tuple(counts) for _, _, counts in found] == [(7, *[4 * 10**18] * 8, 1)] * 3, "to the last digit"
    assert await store.asking.spend("k", HOUR + 2, HOUR) == (7, 8 * 10**18, 4 * 10**18, 1, 21, most, most, 3)


async def test_entries_come_in_their_order_and_instances_once(filled: Asking) -> None:
    assert await filled.instances() == ["20260101T000000-00000001", "20260101T000000-00000002"]
    rows = await filled.entries("20260101T000000-00000001", 3)
    assert [row[1] for row in rows] == [3, 4, 5, 6]
    assert await filled.entries("nobody", 0) == []
    assert sorted(await filled.all_marks()) == await filled.instances()
    assert await filled.has_records()


async def test_an_empty_store_answers_too(store: Open) -> None:
    assert await store.asking.page(Choice(), True, None, 10) == []
    assert await store.asking.instances() == []
    found, marks = await store.asking.sums(question(by=("key",)), 10, ["one"])
    assert (list(found), dict(marks)) == ([], {})
    assert await store.asking.spend("k", 0, 0) == (0,) * 8


async def test_a_question_that_takes_too_long_is_ended(store: Open) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    database = store.make(0.3)
    await database.open()
    try:
        with pytest.raises(StoreAwayError, match=r"did not answer within 0\.3 s"):
            await database.read(lambda session: session.fetch(endless))
        assert [tuple(row) for row in await database.ask("SELECT 1")] == [(1,)], "the next one is answered"
    finally:
        await database.close()


async def test_a_question_that_nobody_waits_for_any_more_is_ended(store: Open) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    database = store.make(ALONE_S)
    await database.open()
    try:
        asked = [asyncio.ensure_future(database.ask(endless)) for _ in range(3)]
        await asyncio.sleep(0.3)
        for each in asked:
            each.cancel()
        async with asyncio.timeout(5):
            assert [tuple(row) for row in await database.ask("SELECT 1")] == [(1,)]
    finally:
        await database.close()


async def test_what_is_forgotten_is_gone_and_the_rest_stays(store: Open, filled: Asking, tmp_path: Path) -> None:
    forgetting = Forgetting(store.make(ALONE_S))
    moment = START + 3 * 300_000_000
    try:
        assert await forgetting.forget(moment) == 3
        assert await forgetting.forget(moment) == 0
    finally:
        await forgetting.close()
    rows = [as_row(each) for each in await filled.page(Choice(outcome="complete"), False, None, 100)]
    assert [row.record.number for row in rows if row.private is None] == [0, 1]
    assert all(row.private is None or row.record.started_us >= moment for row in rows)
    assert [(report.fault, report.entries) for report in await verify(filled)] == [(None, 6), (None, 6)]
    whole = await filled.page(Choice(request_id="req_9"), False, None, 1)
    assert whole[0].private is not None


async def test_long_texts_are_forgotten_a_few_at_a_time(store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain("one")
    for number in range(20):
        chain.add(record(number, START + number), ("a" * (5_000 if number % 4 == 0 else 10), None))
    await ship(store.database, chain)
    pieces: list[int] = []
    write = store.database.write

    async def counted(work: Any, **how: Any) -> Any:
        pieces.append(len(done := await write(work, **how)))
        return done

    monkeypatch.setattr(store.database, "write", counted)
    monkeypatch.setattr("penstock.store.forgetting.BYTES_AT_ONCE", 10_000)
    assert await Forgetting(store.database).forget(START + 18) == 18
    assert pieces == [5, 8, 5, 0], "once two long ones are there it is enough"
    monkeypatch.setattr("penstock.store.forgetting.AT_ONCE", 1)
    assert await Forgetting(store.database).forget(START + 20) == 2
    assert pieces[4:] == [1, 1, 0]


async def test_what_is_forgotten_is_in_no_file(tmp_path: Path) -> None:
    path = str(tmp_path / "penstock.sqlite")
    database = SqliteDatabase(path)
    await database.open()
    await bring_up(database, read_migrations(FOLDER / "sqlite"), migrate=True)
    chain = Chain("one")
    for number in range(50):
        chain.add(record(number, START + number), (f"secret-{number:03}", "whom"))
    await ship(database, chain)
    await database.close()
    assert written(tmp_path)
    forgetting = Forgetting(SqliteDatabase(path))
    assert await forgetting.forget(START + 1_000) == 50
    assert written(tmp_path) == []
    await forgetting.close()


async def test_that_others_keep_what_is_forgotten_in_the_log_written_ahead_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "penstock.sqlite")
    database = SqliteDatabase(path)
    await database.open()
    await bring_up(database, read_migrations(FOLDER / "sqlite"), migrate=True)
    chain = Chain("one")
    chain.add(record(1, START), ("secret-1", "whom"))
    await ship(database, chain)
    forgetting = Forgetting(SqliteDatabase(path, busy_s=0.1))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM penstock_records").fetchall()
        with pytest.raises(StoreAwayError, match="being read: what was deleted may still be in its log; try it again"):
            await forgetting.forget(START + 1)
        other.execute("ROLLBACK")
    assert await forgetting.forget(START + 1) == 0
    assert written(tmp_path) == []
    await forgetting.close()
    await database.close()


def written(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if b"secret-" in file.read_bytes()]


async def test_a_page_without_texts_has_nothing_that_is_long(store: Open) -> None:
    chain = Chain("one")
    chain.add(record(1, START), ("192.0.2.7", "somebody", "p" * 20_000, "cut", "a" * 20_000, None))
    chain.add(record(2, START + 1), ("192.0.2.8", None))
    chain.add(record(3, START + 2))
    await ship(store.database, chain)
    heads = await store.asking.page(Choice(whole=False), False, None, 10)
    assert max(len(each.private or b"") for each in heads) <= HEAD_BYTES
    whole = [as_row(each).private for each in await store.asking.page(Choice(), False, None, 10)]
    assert whole[0] == Private("192.0.2.7", "somebody", "p" * 20_000, "cut", "a" * 20_000)
    assert [as_row(each, whole=False).private for each in heads] == [Private("192.0.2.7", "somebody"), *whole[1:]]
