"""The launchers of real servers: fresh, not run by root, killed and started again as tests need it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.postgres import Postgres
from tests.support.redis import Redis
from tests.support.server import account
from tests.support.wait import until


def owners(folder: Path) -> set[int]:
    """The users of all processes that work in a folder."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink().is_relative_to(folder):
                found.add(entry.stat().st_uid)
        except OSError:
            continue  # gone, or another user's
    return found


@pytest.mark.redis
def test_redis_keeps_what_it_must_through_a_kill() -> None:
    with Redis(durable=True) as running:
        assert running.call("SET", "key", "värde") == "+OK"
        running.kill()
        running.start()
        assert running.call("STRLEN", "key") == ":6"
        assert owners(running.folder) == {who.pw_uid if (who := account()) else os.getuid()}
    assert not running.folder.exists()


@pytest.mark.redis
def test_the_shared_redis_answers_and_can_be_emptied(redis: Redis) -> None:
    assert redis.call("SET", "key", "1") == "+OK"
    assert redis.call("FLUSHALL") == "+OK"
    assert redis.call("EXISTS", "key") == ":0"


@pytest.mark.postgres
def test_postgres_gives_each_test_a_database_of_its_own(postgres: Postgres) -> None:
    template = postgres.create()
    postgres.sql("CREATE TABLE made_before (x int)", template)
    one, other = postgres.create(template), postgres.create(template)
    postgres.sql("INSERT INTO made_before VALUES (1)", one)
    assert [postgres.sql("SELECT count(*) FROM made_before", name) for name in (one, other)] == ["1", "0"]
    for name in (template, one, other):
        postgres.drop(name)


@pytest.mark.postgres
def test_postgres_keeps_what_was_committed_through_a_kill() -> None:
    with Postgres(durable=True) as running:
        assert running.sql("SHOW fsync") == "on"
        running.sql("CREATE TABLE kept (x int)")
        running.kill()
        running.start()
        assert running.sql("SELECT count(*) FROM kept") == "0"
        folder = running.folder
    assert not folder.exists()


@pytest.mark.postgres
@pytest.mark.parametrize("stop", [Postgres.stop, Postgres.kill], ids=["stop", "kill"])
def test_nothing_is_left_of_a_server_that_ended(stop: Callable[[Postgres], None]) -> None:
    with Postgres() as running:
        assert owners(running.folder)
        stop(running)
        until(lambda: not owners(running.folder), "no process works there any more")
