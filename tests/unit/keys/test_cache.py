"""The cache in data_dir: what it keeps, for whom, and that it costs nobody a request."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from penstock.keys.argon2id import OWASP, Cost
from penstock.keys.cache import GATHER_S, NOTES, ROWS_A_STATEMENT, Cache, CacheLostError, Place
from penstock.keys.model import AdminToken
from penstock.keys.rows import Kept, KeptKey, KeptTeam
from penstock.limits.policy import Limits
from penstock.policy.key_table import Access, Secret
from tests.unit.keys.scene import Lines

SECRET = Secret(1, None, None)
DIGEST = "ab" * 32
AT = Place("store", 7, "change7", 5)
NOWHERE = Place("store")
Open = Callable[..., Cache]


def key(id: str = "key000000001", version: int = 1, **fields: object) -> KeptKey:
    given = {"team": None, "access": Access(("fast",), None, None), "secrets": (SECRET,), **fields}
    return KeptKey(id, version, "active", **given)  # type: ignore[arg-type]


@pytest.fixture
async def cache(tmp_path: Path) -> AsyncIterator[Open]:
    made: list[Cache] = []

    def make(fingerprint: str = "this", log: Lines | None = None, cost: Cost = OWASP) -> Cache:
        made.append(Cache(str(tmp_path), fingerprint, log or Lines(), cost))
        return made[-1]

    yield make
    for each in made:
        await each.close()


async def rows(cache: Cache) -> list[Kept]:
    return [row async for page in cache.load() for row in page]


async def test_what_was_asked_for_is_done_though_nobody_waits_for_it_any_more(cache: Open) -> None:
    first = cache()
    await first.open()
    await first.reset("store")
    busy = threading.Event()
    held = first._thread.submit(busy.wait, 5.0)
    given_up = first.write([key()], 0, AT)
    assert given_up.cancel()
    await asyncio.sleep(0.01)
    busy.set()
    assert held.result()
    assert await first.ahead() == set()
    assert [row.id for row in await rows(first)] == [key().id]


async def test_rows_and_how_far_they_go_are_found_again(cache: Open, tmp_path: Path) -> None:
    first = cache()
    assert await first.open() == Place()
    await first.reset("store")
    team = KeptTeam(
        "team", 2, "a team", "active", Access(None, ("/chat/*",), ("10.0.0.0/8",)), Limits(queue="2s", concurrent=1)
    )
    token = AdminToken(id="t", name="ops", role="viewer", digest="cd" * 32, version=3)
    limits = Limits(requests=("600/min", "9/day"), concurrent="none")
    kept: list[Kept] = [key(team="team", expires_us=9, cut_us=8, limits=limits, tags=(("env", "dev"),)), team, token]
    await first.write(kept, 0, AT)
    second = cache()
    assert await second.open() == AT
    assert await rows(second) == [team, token, kept[0]]
    assert (tmp_path / "keys.sqlite").stat().st_mode & 0o777 == 0o600


async def test_digests_come_back_with_their_generation_only(cache: Open) -> None:
    first = cache()
    await first.open()
    await first.write([key(secrets=(SECRET, Secret(2, 99, None))), key("key000000002")], 0, NOWHERE)
    first.learn("key000000001", 2, DIGEST, OWASP)
    assert await first.known("key000000001") == {2: DIGEST}
    await first.flush()
    second = cache()
    await second.open()
    assert await rows(second) == [key(secrets=(SECRET, Secret(2, 99, DIGEST))), key("key000000002")]
    assert await second.known("key000000001") == {2: DIGEST}
    await second.write([key(version=2)], 0, NOWHERE)  # rotated: the generation is gone
    assert await second.known("key000000001") == {}


@pytest.mark.parametrize(
    "less", [Cost(0, 0, 0), OWASP._replace(memory_kib=8), OWASP._replace(iterations=1), OWASP._replace(parallelism=0)]
)
async def test_a_digest_whose_hash_takes_less_than_a_new_one_is_known_and_not_loaded(cache: Open, less: Cost) -> None:
    first = cache()
    await first.open()
    both = (SECRET, Secret(2, None, None))
    await first.write([key(secrets=both), key("key000000002")], 0, NOWHERE)
    first.learn("key000000001", 1, DIGEST, OWASP)
    first.learn("key000000001", 2, "cd" * 32, less)
    assert await rows(first) == [key(secrets=(Secret(1, None, DIGEST), both[1])), key("key000000002")]
    assert await first.known("key000000001") == {1: DIGEST, 2: "cd" * 32}
    first.learn("key000000001", 2, "cd" * 32, OWASP)
    assert await rows(first) == [
        key(secrets=(Secret(1, None, DIGEST), Secret(2, None, "cd" * 32))),
        key("key000000002"),
    ]
    assert await rows(cache(cost=OWASP._replace(iterations=3))) == []  # not opened
    dearer = cache(cost=OWASP._replace(iterations=3))
    await dearer.open()
    assert await rows(dearer) == [key(secrets=both), key("key000000002")]


async def test_many_rows_come_in_pages_and_none_twice(cache: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.keys.cache.PAGE", 3)
    first = cache()
    await first.open()
    kept = [key(f"key{n:09}", n + 1) for n in range(10)]
    await first.write(kept, 0, NOWHERE)
    pages = [page async for page in first.load()]
    assert [len(page) for page in pages] == [0, 3, 3, 3, 1]
    assert [row for page in pages for row in page] == kept


async def test_of_two_rows_the_newer_stays_whatever_the_order(cache: Open) -> None:
    first = cache()
    await first.open()
    await first.write([key(version=5)], 0, NOWHERE)
    await first.write([key(version=4, secrets=())], 0, NOWHERE)
    assert await rows(first) == [key(version=5)]


@pytest.mark.parametrize("count", [ROWS_A_STATEMENT - 1, ROWS_A_STATEMENT, 2 * ROWS_A_STATEMENT + 3])
async def test_of_many_rows_written_at_once_each_is_there_and_the_newer_stays(cache: Open, count: int) -> None:
    first = cache()
    await first.open()
    ids = [f"key{n:09}" for n in range(count)]
    # Every other one is there already, and newer: it is behind a gap, which the place has not passed.
    newer = [key(id, 5 * count) for id in ids[::2]]
    await first.write_ahead([(row, None) for row in newer])
    kept = [key(id, n) for n, id in enumerate(ids, 1)]
    await first.write(kept[::-1], 0, NOWHERE)
    assert await rows(first) == [newer[n // 2] if n % 2 == 0 else row for n, row in enumerate(kept)]


CHANGES_MANY = """
import asyncio, sys
from penstock.keys.cache import Cache, Place, ROWS_A_STATEMENT
from penstock.keys.rows import KeptKey

async def main():
    cache = Cache(sys.argv[1], "this", log=None)
    await cache.open()
    for version in (1, 1_000):
        tags = tuple((f"name {n}", f"{version}" * 30) for n in range(20))  # so large that each has a page of its own
        keys = [KeptKey(f"key{n:09}", version + n, "active", tags=tags) for n in range(ROWS_A_STATEMENT)]
        await cache.write(keys, 0, Place("store"))
    print(len([row async for page in cache.load() for row in page if row.version >= 1_000]))
    await cache.close()

asyncio.run(main())
"""


def test_no_file_is_made_elsewhere_however_many_rows_change(tmp_path: Path) -> None:
    """SQLite would keep there what pages were before the statement; it takes the directory when it is loaded."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    before = elsewhere.stat().st_mtime_ns
    command = [sys.executable, "-c", CHANGES_MANY, str(tmp_path)]
    environment = {**os.environ, "SQLITE_TMPDIR": str(elsewhere)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == (f"{ROWS_A_STATEMENT}\n", "")
    assert elsewhere.stat().st_mtime_ns == before


async def test_a_tombstone_stays_until_everything_older_is_in(cache: Open) -> None:
    first = cache()
    await first.open()
    await first.reset("store")
    gone = KeptKey("key000000001", 7, "deleted")
    await first.write_ahead([(gone, "change7")])
    assert await first.ahead() == {(7, "change7")}
    await first.write([key(version=6)], 0, AT._replace(version=6))
    assert await rows(first) == [gone]
    await first.write([gone], 6, AT)
    assert await rows(first) == []
    await first.write([key(version=6)], 0, NOWHERE)  # of a slower process
    assert await rows(first) == []


async def test_a_gap_keeps_the_place_where_it_was(cache: Open) -> None:
    first = cache()
    await first.open()
    await first.reset("store")
    await first.write([key(version=3)], 0, AT._replace(version=3))
    await first.write([key("key000000002", 7)], 5, AT)  # what came between 3 and 5 was not written
    second = cache()
    assert (await second.open()).version == 3
    assert len(await rows(second)) == 2


async def test_notes_stay_until_the_place_has_passed_them_whatever_becomes_of_their_rows(cache: Open) -> None:
    first, second = cache(), cache()
    await first.open()
    await first.reset("store")
    await second.open()
    await first.write_ahead([(key(version=3), "one's")])
    await second.write_ahead([(key("key000000002", 3), "another's")])
    await second.write_ahead([(key(version=5), "later")])
    await first.write_ahead([(key(version=4), "late")])
    await first.write([key(version=6)], 0, AT._replace(version=2))
    expected = {(3, "one's"), (3, "another's"), (4, "late"), (5, "later")}
    assert await first.ahead() == await second.ahead() == expected
    await first.write([], 2, AT._replace(version=4))
    assert await second.ahead() == {(5, "later")}


async def test_notes_behind_a_gap_are_bounded(cache: Open) -> None:
    first = cache()
    await first.open()
    await first.reset("store")
    for version in range(1, 4):
        await first.write_ahead([(key(version=version), "old")])
    await first.write_ahead([(key(version=NOTES + 2), "new")])
    assert await first.ahead() == {(3, "old"), (NOTES + 2, "new")}


async def test_notes_are_void_after_a_reset_that_the_file_did_not_take(cache: Open, tmp_path: Path) -> None:
    log = Lines()
    first, second = cache(log=log), cache()
    await first.open()
    await first.reset("store")
    await second.open()
    await second.write_ahead([(key(version=3), "lost")])
    with sqlite3.connect(tmp_path / "keys.sqlite") as database:
        database.execute("CREATE TRIGGER full BEFORE DELETE ON notes BEGIN SELECT RAISE(ABORT, 'no room'); END")
    database.close()
    await first.reset("store")
    assert "no room" in log.texts("warning")
    assert await first.ahead() == set()
    assert await second.ahead() == {(3, "lost")}


async def test_a_reset_that_the_file_did_not_take_is_made_up_for_before_anything_is_written(
    cache: Open, tmp_path: Path
) -> None:
    first = cache()
    await first.open()
    await first.write([key(version=3)], 0, AT)
    with sqlite3.connect(tmp_path / "keys.sqlite") as database:
        database.execute("CREATE TRIGGER full BEFORE DELETE ON rows BEGIN SELECT RAISE(ABORT, 'no room'); END")
        await first.reset("another")
        await first.write([key("key000000002", 4)], 0, Place("another", 4, "four", 5))
        database.execute("DROP TRIGGER full")
    database.close()
    await first.write([key("key000000003", 5)], 0, Place("another", 5, "five", 5))
    await first.close()
    after = cache()
    assert await after.open() == Place("another", 5, "five", 5)
    assert [row.id for row in await rows(after)] == ["key000000003"]


async def test_a_process_of_the_version_before_can_share_the_file(cache: Open, tmp_path: Path) -> None:
    first = cache()
    await first.open()
    await first.reset("store")
    await first.write_ahead([(key(version=3), "of this version")])
    with sqlite3.connect(tmp_path / "keys.sqlite") as database:
        assert database.execute("SELECT version, change FROM rows").fetchall() == [(3, "of this version")]
        database.execute("UPDATE rows SET version = 4, change = 'of the version before'")
    assert await first.ahead() == {(3, "of this version"), (4, "of the version before")}
    with database:  # it knows of no other notes when it forgets everything
        database.execute("DELETE FROM rows")
        database.execute("UPDATE place SET life = 'another'")
    second = cache()
    await second.open()
    assert await first.ahead() == await second.ahead() == set()
    await second.write([], 0, AT._replace(version=2))
    with database:
        assert database.execute("SELECT count(*) FROM notes").fetchone() == (0,)
        database.execute("DROP TABLE notes")  # and it makes none
    database.close()
    third = cache()
    await third.open()
    await third.write_ahead([(key(version=AT.version + 1), "noted")])
    assert await third.ahead() == {(AT.version + 1, "noted")}


async def test_digests_are_written_together_and_soon(cache: Open) -> None:
    first, second = cache(), cache()
    await first.open()
    await second.open()
    for generation in range(1, 4):
        first.learn("key000000001", generation, DIGEST, OWASP)
    assert await second.known("key000000001") == {}
    await asyncio.sleep(2 * GATHER_S)
    assert await second.known("key000000001") == dict.fromkeys(range(1, 4), DIGEST)


async def test_digests_under_another_key_are_dropped_and_rows_stay(cache: Open) -> None:
    first = cache()
    await first.open()
    await first.write([key()], 0, AT)
    first.learn("key000000001", 1, DIGEST, OWASP)
    other = cache("another digest.key")
    assert await other.open() == AT
    assert await rows(other) == [key()]
    first.learn("key000000001", 1, DIGEST, OWASP)  # of a process that still has the key before
    assert await other.known("key000000001") == {}


async def test_after_a_reset_a_process_that_loaded_before_writes_no_more(cache: Open) -> None:
    first, second = cache(), cache()
    await first.open()
    await second.open()
    await second.reset("another store")
    await first.write([key()], 0, AT)
    first.learn("key000000001", 1, DIGEST, OWASP)
    assert await rows(second) == []
    third = cache()
    assert await third.open() == Place("another store")
    assert await third.known("key000000001") == {}


async def test_steps_are_done_in_the_order_in_which_they_were_asked_for(cache: Open) -> None:
    first = cache()
    await first.open()
    first.learn("key000000001", 1, DIGEST, OWASP)
    first.reset("store")
    assert await first.known("key000000001") == {}


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\0" + b"x" * 4080])
async def test_a_damaged_file_is_set_aside_with_a_warning(cache: Open, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "keys.sqlite").write_bytes(content)
    log = Lines()
    first = cache(log=log)
    assert await first.open() == Place()
    await first.write([key()], 0, NOWHERE)
    assert await rows(first) == [key()]
    assert "is damaged" in log.texts("warning")
    assert any(name.startswith("keys.sqlite.damaged-") for name in os.listdir(tmp_path))


async def test_damage_that_shows_only_in_the_rows_loses_them_and_not_a_part_of_them(
    cache: Open, tmp_path: Path
) -> None:
    first = cache()
    await first.open()
    await first.write([key(f"key{n:09}", n + 1) for n in range(5)], 0, AT)
    await first.close()
    with sqlite3.connect(tmp_path / "keys.sqlite") as database:
        database.execute("UPDATE rows SET body = '[7]' WHERE id = 'key000000004'")
    database.close()
    log = Lines()
    second = cache(log=log)
    assert await second.open() == AT
    with pytest.raises(CacheLostError):
        await rows(second)
    assert "set aside" in log.texts("warning")
    assert await rows(second) == []


async def test_a_file_of_another_shape_is_begun_anew(cache: Open, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "keys.sqlite") as database:
        database.executescript("CREATE TABLE rows (later TEXT); CREATE TABLE more (x); PRAGMA user_version = 99;")
    database.close()
    first = cache()
    assert await first.open() == Place()
    await first.write([key()], 0, NOWHERE)
    assert await rows(first) == [key()]


async def test_a_directory_that_cannot_be_written_costs_a_warning_only(tmp_path: Path) -> None:
    log = Lines()
    cache = Cache(str(tmp_path / "absent"), "this", log)
    assert await cache.open() == Place()
    await cache.write([key()], 0, NOWHERE)
    cache.learn("key000000001", 1, DIGEST, OWASP)
    assert await rows(cache) == []
    assert log.texts("warning").count("cannot be used") == 1
    await cache.close()


async def test_others_cannot_read_it_even_if_they_could_before(cache: Open, tmp_path: Path) -> None:
    (tmp_path / "keys.sqlite").touch(0o644)
    (tmp_path / "keys.sqlite").chmod(0o644)
    log = Lines()
    await cache(log=log).open()
    assert (tmp_path / "keys.sqlite").stat().st_mode & 0o777 == 0o600
    assert "0644" in log.texts("warning")


async def test_after_closing_nothing_is_taken_and_nothing_fails(cache: Open) -> None:
    first = cache()
    await first.open()
    await first.close()
    await first.write([key()], 0, NOWHERE)
    assert await first.known("key000000001") == {}
    await first.close()
