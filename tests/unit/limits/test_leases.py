"""The question for leases: calls go to Redis, replies to native, and refusals to the other nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from penstock.limits.beats import Beats
from penstock.limits.leases import SAID, Leases
from penstock.limits.script import AwayError, Call, Refused, Reply
from penstock.limits.sharing import tags
from penstock.observe.logs import Log
from tests.unit.conftest import until
from tests.unit.limits.fakes import FakeNode, FakeRunner
from tests.unit.limits.test_beats import SLOW

GRANTED = [0, 1_000, 7, 1, 0, 30, 5, 2_000, 30, 0, 0, 4]
REFUSED = [0, 1_000, 7, 1, 0, 0, 0, 0, 600, 9_000, 1, 4]
LOST = [1, 1_000, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0]


def ask(tag: str, need: int = 1) -> dict[str, Any]:
    return {"tag": tag, "args": [str(number) for number in (1_000, 0, 0, 600, 1_000, 5, 1, 0, 0, 0, 0, 1, need, 10)]}


class Scene:
    """A handler whose beats are answered unless Redis is away."""

    def __init__(self) -> None:
        self.redis, self.lines = FakeRunner(), list[bytes]()
        self.replies: dict[str, Reply] = {}
        self.redis.says = lambda name, call: [1, 1] if name == "beat.lua" else self.replies.get(call.keys[0])
        log = Log("info", "json", self.lines.append)
        self.beats = Beats(self.redis, "me", "p", log, where="h:1", pace=SLOW)
        self.leases = Leases(self.redis, "p", self.beats, log)

    async def ask(self, *asks: dict[str, Any]) -> Any:
        return msgspec.json.decode(await self.leases(msgspec.json.encode(asks)))

    def called(self, name: str) -> Sequence[Call]:
        return [call for called, call in self.redis.calls if called == name]


@pytest.fixture
async def scene() -> Any:
    made = Scene()
    await made.beats.start(FakeNode())
    yield made
    await made.beats.stop()


async def test_each_ask_is_a_call_with_the_limit_in_braces_and_its_reply_goes_back_as_it_is(scene: Scene) -> None:
    scene.replies = {"p:{key:a:requests:1}": GRANTED, "p:{global::tokens:day}": LOST}
    assert await scene.ask(ask("key:a:requests:1"), ask("global::tokens:day")) == [GRANTED, LOST]
    first, second = scene.called("lease.lua")
    assert (first.keys, second.keys) == (("p:{key:a:requests:1}",), ("p:{global::tokens:day}",))
    assert list(first.arguments) == ask("")["args"]


async def test_only_who_needed_more_than_was_left_was_refused(scene: Scene) -> None:
    scene.replies = {"p:{needs}": REFUSED, "p:{ahead}": REFUSED, "p:{has}": GRANTED, "p:{lost}": LOST}
    await scene.ask(ask("needs"), ask("ahead", need=0), ask("has"), ask("lost"))
    scene.beats.hurry()
    await until(lambda: len(scene.called("beat.lua")) == 2)
    assert scene.called("beat.lua")[1].arguments == ("me", "0", "needs")


async def test_without_an_answer_native_hears_that_there_is_none_and_the_next_beat_comes_at_once(scene: Scene) -> None:
    scene.redis.away = "closed"
    assert await scene.ask(ask("a"), ask("b")) == [None, None]
    await until(lambda: scene.beats.is_away)


async def test_while_redis_is_away_it_is_not_asked(scene: Scene) -> None:
    scene.redis.away = "closed"
    scene.beats.hurry()
    await until(lambda: scene.beats.is_away)
    assert await scene.ask(ask("a")) == [None]
    assert scene.called("lease.lua") == []


async def test_an_error_of_one_call_leaves_the_others_and_is_told_once(scene: Scene) -> None:
    scene.replies = {"p:{a}": Refused("OOM"), "p:{b}": GRANTED}
    for _ in range(3):
        assert await scene.ask(ask("a"), ask("b")) == [None, GRANTED]
    (line,) = map(msgspec.json.decode, scene.lines)
    assert (line["level"], line["error"]) == ("warning", "OOM")


async def test_errors_that_take_turns_are_each_told_once_and_not_without_bound(scene: Scene) -> None:
    scene.replies = {"p:{a}": Refused("OOM"), "p:{b}": Refused("WRONGTYPE")}
    for _ in range(3):
        await scene.ask(ask("a"))
        await scene.ask(ask("b"))
    assert [msgspec.json.decode(line)["error"] for line in scene.lines] == ["OOM", "WRONGTYPE"]
    for number in range(2 * SAID):
        scene.replies = {"p:{a}": Refused(f"error {number}")}
        await scene.ask(ask("a"))
    assert len(scene.lines) == SAID


async def test_a_reset_takes_every_limit_of_a_place(scene: Scene) -> None:
    scene.replies = {"p:{a}": 0, "p:{b}": 1}
    assert await scene.leases.reset(["a", "b"]) is True
    assert [call.keys for call in scene.called("reset.lua")] == [("p:{a}",), ("p:{b}",)]
    assert await scene.leases.reset(["a"]) is False
    assert await scene.leases.reset([]) is False
    scene.replies = {"p:{a}": Refused("READONLY")}
    with pytest.raises(AwayError, match="READONLY"):
        await scene.leases.reset(["a"])


def test_limits_are_called_by_place_kind_and_time() -> None:
    use = [
        {"kind": "requests", "amount": 600, "used": 1, "reset_us": 5, "window_us": 60_000_000},
        {"kind": "budget", "amount": 600, "used": 1, "reset_us": 5, "period": "month"},
        {"kind": "concurrent", "amount": 5, "used": 1, "reset_us": 0},
    ]
    assert tags("model", "a:b", msgspec.json.encode(use)) == ["model:a:b:requests:60000000", "model:a:b:budget:month"]
    assert tags("global", "", msgspec.json.encode(use[1:2])) == ["global::budget:month"]
    assert tags("key", "x", b"[]") == []
