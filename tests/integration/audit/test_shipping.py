"""Records reach the store: each once, whatever ends the process that wrote them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import raw
from tests.support.gateway import Gateway
from tests.support.kinds import CHAT
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import Postgres
from tests.support.scene import ask, config_of, open_request
from tests.support.script import Hold, Send, answer, chunk, stream, stream_head
from tests.support.shipped import asked, check_whole, marks, requests, store_of
from tests.support.upstream import Upstream
from tests.support.wait import until

STORES = ["sqlite", *(pytest.param(name, marks=pytest.mark.postgres) for name in ("postgres", "pgbouncer"))]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        yield "sqlite"
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    behind: Postgres | PgBouncer = request.getfixturevalue(request.param)
    name = postgres.create()
    yield behind.url(name)
    postgres.drop(name)


@pytest.fixture
def config(upstream: Upstream, store: str) -> dict[str, Any]:
    upstream.always(answer(CHAT.whole))
    return config_of(upstream, store=store)


def many(gateway: Gateway, count: int) -> None:
    body = json.dumps(CHAT.request("m", False)).encode()
    with raw.Client(gateway.address) as client:
        for _ in range(count):
            client.send(raw.request("POST", CHAT.path, body))
            assert client.read().status == 200


def test_what_was_answered_is_in_the_store_a_moment_later(config: dict[str, Any], tmp_path: Path) -> None:
    with Gateway(tmp_path, config) as gateway:
        many(gateway, 20)
        until(lambda: len(requests(gateway)) == 20, "the store has them")
        assert gateway.metrics().value("penstock_shipped_records_total") == 20
        until(lambda: gateway.metrics().value("penstock_ship_lag_seconds") == 0, "nothing is left")
        many(gateway, 3)
    assert len(requests(gateway)) == 23, "the end of the process ships what is left"
    assert [ended for _, ended in marks(gateway).values()] == [1]
    assert check_whole(*store_of(gateway)) == 23


def test_only_threads_that_know_no_python_take_what_is_left_over(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    with Gateway(tmp_path, config_of(upstream)) as gateway:
        many(gateway, 3)
        until(lambda: len(requests(gateway)) == 3, "the store has them")
        tasks = list(Path(f"/proc/{gateway.pid}/task").iterdir())
        idle = {(task / "comm").read_text().strip() for task in tasks if is_idle(int(task.name))}
    assert idle <= {"penstock-spare"}


def is_idle(thread: int) -> bool:
    try:
        return os.sched_getscheduler(thread) == os.SCHED_IDLE
    except ProcessLookupError:
        return False


def test_a_killed_process_is_shipped_by_the_next_one(
    config: dict[str, Any], upstream: Upstream, tmp_path: Path
) -> None:
    with Gateway(tmp_path, config) as gateway:
        upstream.always([stream_head(), Send(chunk(CHAT.frames[0])), Hold()])
        cut = open_request(gateway, CHAT, True)
        until(lambda: upstream.requests and gateway.status()["native"]["in_flight"] == 1, "the stream has begun")
        upstream.always(answer(CHAT.whole))
        many(gateway, 50)
        until(lambda: gateway.metrics().value("penstock_journal_lag_seconds") == 0, "the journal has all")
        gateway.kill()
        cut.close()
        gateway.start()
        until(lambda: any(ended for _, ended in marks(gateway).values()), "the journal of the first is shipped")
        found = requests(gateway)
        assert sorted(row[2] for row in found) == ["complete"] * 50 + ["interrupted"]
        assert asked(*store_of(gateway), "SELECT sum(requests) FROM penstock_usage") == [(51,)]
    assert check_whole(*store_of(gateway)) == 51


def test_a_store_that_lost_all_while_it_served_gets_what_the_journals_have(
    config: dict[str, Any], tmp_path: Path
) -> None:
    with Gateway(tmp_path, config) as gateway:
        many(gateway, 30)
        until(lambda: gateway.metrics().value("penstock_journal_lag_seconds") == 0, "the journal has all")
        gateway.kill()
        gateway.start()
        many(gateway, 5)
        until(lambda: len(requests(gateway)) == 35, "the store has them")
        until(lambda: any(ended for _, ended in marks(gateway).values()), "the journal of the first is shipped")
        for table in ("penstock_shipped", "penstock_records", "penstock_usage"):
            asked(*store_of(gateway), f"DELETE FROM {table}")  # noqa: S608
        assert requests(gateway) == []
        many(gateway, 1)
        until(lambda: len(requests(gateway)) == 36, "the store has all of them again", 10.0)
    assert check_whole(*store_of(gateway)) == 36


def test_two_processes_on_one_directory_share_what_is_left_behind(config: dict[str, Any], tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder in folders:
        folder.mkdir()
    shared = config | {"data_dir": str(tmp_path / "data")}
    for _ in range(3):
        with Gateway(folders[0], shared | {"audit": {"ship": False}}) as gone:
            many(gone, 100)
    with Gateway(folders[1], shared) as one, Gateway(folders[2], shared) as two:
        many(one, 100)
        many(two, 100)
        until(lambda: len(requests(one)) == 500, "all are there")
    assert check_whole(*store_of(one)) == 500
    assert len(marks(one)) == 5


def test_nothing_is_shipped_where_that_is_not_wanted(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    for more in ({"audit": {"ship": False}}, {"journal": {"durability": "none"}}):
        with Gateway(tmp_path, config_of(upstream, **more)) as gateway:
            many(gateway, 3)
            assert "penstock_ship_lag_seconds" not in gateway.metrics().names()
        assert requests(gateway) == []


def test_streams_are_one_request_each(config: dict[str, Any], upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(stream(CHAT.frames))
    with Gateway(tmp_path, config) as gateway:
        for _ in range(5):
            assert CHAT.outcome(ask(gateway, CHAT).body) == "complete"
    assert [row[2] for row in requests(gateway)] == ["complete"] * 5
    kinds = asked(*store_of(gateway), "SELECT kind, count(*) FROM penstock_records GROUP BY kind ORDER BY kind")
    assert kinds == [(1, 5), (2, 5), (5, 1)]
