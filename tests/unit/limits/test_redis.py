"""Scripts on connections: kept, made anew, given up; what fails is told as one error."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis.asyncio.connection import SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MovedError, NoScriptError, ResponseError

from penstock.limits import redis
from penstock.limits.redis import IDLE_S, KEPT, Redis, _Maker, _Password
from penstock.limits.script import AwayError, Call, Refused, Script
from penstock.limits.server import parse_server
from tests.unit.limits.fakes import FakeServer

RESET = Script("reset.lua")
ONE, TWO = Call(("a",)), Call(("b", "c"), ("1", "2"))


class Scene:
    """A runner over fake connections, with a clock of its own."""

    def __init__(self) -> None:
        self.server = FakeServer()
        self.now = 0.0
        self.redis = Redis(parse_server("redis://h"), make=self.server.make, clock=lambda: self.now)

    async def run(self, *calls: Call, seconds: float = 5.0) -> list[object]:
        return await self.redis.run(RESET, calls, seconds)

    def open(self) -> list[bool]:
        return [each.open for each in self.server.made]


async def test_calls_go_out_together_and_their_replies_come_in_order() -> None:
    scene = Scene()
    scene.server.replies = [1, [2, b"x"]]
    assert await scene.run(ONE, TWO) == [1, [2, b"x"]]
    assert scene.server.sent == [
        ("EVALSHA", RESET.sha, 1, "a"),
        ("EVALSHA", RESET.sha, 2, "b", "c", "1", "2"),
    ]


async def test_a_script_that_redis_does_not_have_is_loaded_and_only_what_failed_asked_again() -> None:
    scene = Scene()
    scene.server.replies = [NoScriptError("NOSCRIPT"), 2, b"sha", 1]
    assert await scene.run(ONE, TWO) == [1, 2]
    assert scene.server.sent[2:] == [("SCRIPT", "LOAD", RESET.text), ("EVALSHA", RESET.sha, 1, "a")]


async def test_a_script_that_may_not_be_loaded_is_refused_for_the_reason_of_that() -> None:
    scene = Scene()
    scene.server.replies = [NoScriptError("NOSCRIPT"), ResponseError("NOPERM script|load"), NoScriptError("NOSCRIPT")]
    assert await scene.run(ONE) == [Refused("NOPERM script|load")]


async def test_a_cluster_is_called_by_its_name() -> None:
    scene = Scene()
    scene.server.replies = [MovedError("1234 10.0.0.1:6379")]
    (refused,) = await scene.run(ONE)
    assert isinstance(refused, Refused)
    assert "part of a cluster" in refused.why


async def test_an_error_with_one_call_is_told_of_that_call() -> None:
    scene = Scene()
    scene.server.replies = [ResponseError("OOM"), 2]
    assert await scene.run(ONE, TWO) == [Refused("OOM"), 2]
    assert scene.open() == [True]


async def test_a_connection_is_kept_for_the_next_and_each_of_two_at_once_has_its_own() -> None:
    scene = Scene()
    scene.server.replies = [1, 1]
    await scene.run(ONE)
    await scene.run(ONE)
    assert len(scene.server.made) == 1
    scene.server.replies = [1] * 16
    await asyncio.gather(*(scene.run(ONE, TWO) for _ in range(8)))
    assert 1 < len(scene.server.made) <= 8
    assert sum(scene.open()) <= KEPT


async def test_a_connection_that_died_unseen_is_replaced_and_the_calls_made_again() -> None:
    scene = Scene()
    scene.server.replies = [1, RedisConnectionError("closed"), 2]
    await scene.run(ONE)
    assert await scene.run(ONE) == [2]
    assert scene.open() == [False, True]


async def test_a_connection_that_was_idle_for_long_is_not_used_again() -> None:
    scene = Scene()
    scene.server.replies = [1, 1]
    await scene.run(ONE)
    scene.now = IDLE_S
    await scene.run(ONE)
    assert scene.open() == [False, True]


@pytest.mark.parametrize(
    "error",
    [
        RedisConnectionError("Error 111."),
        OSError("gone"),
        ValueError("no password"),
        RuntimeError("the handler is closed"),
    ],
)
async def test_where_no_connection_comes_about_redis_is_away(error: Exception) -> None:
    scene = Scene()
    scene.server.refuses = error
    with pytest.raises(AwayError, match=str(error).rstrip(".")):
        await scene.run(ONE)
    assert scene.open() == [False]


async def test_a_connection_that_stumbles_as_it_is_closed_is_gone_all_the_same() -> None:
    scene = Scene()
    scene.server.stumbles = AttributeError("'NoneType' object has no attribute 'close'")
    scene.server.replies = [1, 1]
    await scene.run(ONE)
    await scene.redis.forget()
    scene.server.refuses = OSError("gone")
    with pytest.raises(AwayError, match="gone"):
        await scene.run(ONE)
    assert scene.open() == [False, False]


async def test_no_answer_in_time_closes_the_connection() -> None:
    scene = Scene()
    scene.server.replies = [None]
    with pytest.raises(AwayError, match="no answer in time"):
        await scene.run(ONE, seconds=0.001)
    assert scene.open() == [False]


async def test_whoever_is_cancelled_leaves_no_connection_behind() -> None:
    scene = Scene()
    scene.server.replies = [None]
    task = asyncio.ensure_future(scene.run(ONE))
    while not scene.server.sent:  # noqa: ASYNC110 (a condition)
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert scene.open() == [False]


async def test_what_is_forgotten_or_closed_is_not_used_again() -> None:
    scene = Scene()
    scene.server.replies = [1, 1, 1]
    await scene.run(ONE)
    await scene.redis.forget()
    await scene.run(ONE)
    await scene.redis.close()
    await scene.run(ONE)
    assert scene.open() == [False, False, False]


def test_a_connection_is_made_as_the_url_says(tmp_path: Path) -> None:
    for url, shown in (
        ("redis://h:1/2", "(host=h,port=1,db=2)"),
        ("rediss://h?ssl_ca_certs=/x", "SSLConnection(host=h,port=6379,db=0)"),
        ("unix:///r.sock?db=1", "(path=/r.sock,db=1)"),
    ):
        assert shown in repr(_Maker(parse_server(url), None)())
    password = tmp_path / "password"
    password.write_text("one\n")
    provider = _Password("u", str(password))
    assert provider.get_credentials() == ("u", "one")
    password.write_text("two\n")
    assert _Password(None, str(password)).get_credentials() == ("two",)
    assert provider.get_credentials() == ("u", "two")
    with pytest.raises(ValueError, match="cannot be read"):
        _Password(None, str(tmp_path / "none")).get_credentials()


def test_connections_over_tls_share_what_they_trust_until_a_file_of_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "ours"
    file.write_text("one")
    make = _Maker(parse_server(f"rediss://h?ssl_ca_certs={file}"), None)
    first, second = make(), make()
    assert isinstance(first, SSLConnection)
    assert isinstance(second, SSLConnection)
    assert first.ssl_context is second.ssl_context
    assert first.check_hostname
    (tmp_path / "other").write_text("two")
    (tmp_path / "other").rename(file)
    third = make()
    assert isinstance(third, SSLConnection)
    assert third.ssl_context is not first.ssl_context


def test_over_tls_names_are_compared_whatever_the_library_does_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}

    class Remembers(SSLConnection):
        def __init__(self, **options: object) -> None:
            given.update(options)
            super().__init__(**options)  # type: ignore[arg-type]

    monkeypatch.setattr(redis, "SSLConnection", Remembers)
    _Maker(parse_server("rediss://h"), None)()
    assert given["ssl_check_hostname"] is True
