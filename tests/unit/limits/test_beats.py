"""Beats: who is there, which limits are pressed, and whether Redis is away."""

from __future__ import annotations

import msgspec
import pytest

from penstock.limits.beats import REFUSED, Beats, Pace
from penstock.limits.script import Call, Refused
from penstock.observe.logs import Log
from tests.unit.conftest import until
from tests.unit.limits.fakes import FakeNode, FakeRunner

FAST = Pace(beat=0.002, patience=0.05, hurry=0.0, shortest=0.001, longest=0.004, fewer=3600.0)
SLOW = Pace(beat=3600.0, hurry=0.0, shortest=3600.0, longest=3600.0)
KEYS = ("p:{nodes}", "p:{nodes}:pressed")


class Scene:
    """Beats of the node `me`, what they say and what comes of it."""

    def __init__(self, pace: Pace = FAST, nodes: int | None = None) -> None:
        self.redis, self.node = FakeRunner(), FakeNode()
        self.answer: list[object] = [1, 2]
        self.redis.says = lambda name, call: self.answer
        self.lines: list[bytes] = []
        self.degraded: list[bool] = []
        log = Log("debug", "json", self.lines.append)
        self.beats = Beats(
            self.redis, "me", "p", log, where="h:1", nodes=nodes, degraded=self.degraded.append, pace=pace
        )

    def messages(self) -> list[str]:
        return [msgspec.json.decode(line)["message"] for line in self.lines]


async def test_the_first_beat_tells_native_before_the_start_is_over() -> None:
    scene = Scene(SLOW)
    assert scene.beats.is_away
    await scene.beats.start(scene.node)
    assert scene.node.states == [(False, 2)]
    assert scene.redis.calls == [("beat.lua", Call(KEYS, ("me", "0")))]
    assert scene.lines == []
    assert scene.degraded == []
    await scene.beats.stop()


async def test_native_hears_of_a_number_of_nodes_only_when_it_changes() -> None:
    scene = Scene()
    await scene.beats.start(scene.node)
    await until(lambda: len(scene.redis.calls) > 3)
    scene.answer = [1, 3]
    await until(lambda: len(scene.node.states) > 1)
    assert scene.node.states == [(False, 2), (False, 3)]
    await scene.beats.stop()


async def test_a_redis_that_came_back_with_nothing_does_not_make_a_node_believe_that_it_is_alone() -> None:
    scene = Scene()
    scene.answer = [1, 4]
    await scene.beats.start(scene.node)
    for count in (1, 2):
        scene.redis.away = "gone"
        await until(lambda: scene.beats.is_away)
        scene.answer, scene.redis.away = [1, count], ""
        await until(lambda: not scene.beats.is_away)
    assert scene.node.states == [(False, 4), (True, 4)] * 2 + [(False, 4)]
    scene.answer = [1, 5]
    await until(lambda: scene.beats.nodes == 5)
    await scene.beats.stop()


async def test_fewer_nodes_are_believed_when_they_have_been_told_for_a_while() -> None:
    scene = Scene(FAST._replace(fewer=0.01))
    scene.answer = [1, 4]
    await scene.beats.start(scene.node)
    scene.answer = [1, 3]
    await until(lambda: scene.beats.nodes == 3)
    assert scene.node.states == [(False, 4), (False, 3)]
    await scene.beats.stop()


async def test_a_node_that_stops_leaves() -> None:
    scene = Scene(SLOW)
    await scene.beats.start(scene.node)
    await scene.beats.stop()
    await scene.beats.stop()
    assert scene.redis.calls[1:] == [("beat.lua", Call(KEYS, ("me", "1")))]


async def test_what_was_refused_here_is_told_once_and_what_was_refused_elsewhere_reaches_native() -> None:
    scene = Scene(SLOW)
    scene.beats.refused(["key:a:requests:1", "global::tokens:day", "key:a:requests:1"])
    scene.answer = [1, 2, b"key:b:requests:1"]
    await scene.beats.start(scene.node)
    scene.beats.hurry()
    await until(lambda: len(scene.redis.calls) == 2)
    said = [call.arguments[2:] for _, call in scene.redis.calls]
    assert said == [("key:a:requests:1", "global::tokens:day"), ()]
    assert scene.node.pressed == ["key:b:requests:1"] * 2
    await scene.beats.stop()


async def test_what_was_refused_while_redis_is_away_is_told_when_it_is_back_and_is_bounded() -> None:
    scene = Scene()
    scene.redis.away = "gone"
    scene.beats.refused(f"key:{number}:requests:1" for number in range(2 * REFUSED))
    await scene.beats.start(scene.node)
    scene.redis.away = ""
    await until(lambda: not scene.beats.is_away)
    told = next(call for _, call in reversed(scene.redis.calls) if len(call.arguments) > 2)
    assert len(told.arguments) == 2 + REFUSED
    await scene.beats.stop()


async def test_a_start_without_redis_says_so_and_goes_on() -> None:
    scene = Scene()
    scene.redis.away = "Error 111"
    await scene.beats.start(scene.node)
    assert scene.node.states == []  # away, and nobody knows how many: as native has it before the first word
    assert scene.degraded == [True]
    assert scene.messages() == [
        "shared limits: Redis does not answer; until it does each limit goes by its policy `away`"
    ]
    scene.redis.away = ""
    await until(lambda: not scene.beats.is_away)
    assert scene.node.states == [(False, 2)]
    assert scene.degraded == [True, False]
    assert scene.messages()[1:] == ["shared limits: Redis answers again"]
    await scene.beats.stop()


async def test_a_reason_that_has_become_another_is_told_and_shown() -> None:
    scene = Scene(FAST._replace(again=0.0))
    scene.redis.away = "Error 111"
    await scene.beats.start(scene.node)
    assert scene.beats.why == "Error 111"
    scene.redis.away = "invalid username-password pair"
    await until(lambda: scene.beats.why == "invalid username-password pair")
    await until(lambda: scene.redis.forgotten > 3)
    assert [msgspec.json.decode(line)["error"] for line in scene.lines] == ["Error 111", scene.beats.why]
    assert scene.degraded == [True]
    scene.redis.away = ""
    await until(lambda: not scene.beats.is_away)
    assert scene.beats.why == ""
    await scene.beats.stop()


async def test_reasons_that_come_and_go_are_told_at_times_only() -> None:
    scene = Scene()
    for number in range(4):
        scene.redis.away = f"reason {number}"
        if number == 0:
            await scene.beats.start(scene.node)
        await until(lambda number=number: scene.beats.why == f"reason {number}")  # type: ignore[misc]
    assert len(scene.lines) == 1
    await scene.beats.stop()


async def test_one_beat_without_an_answer_is_away_and_one_with_it_is_back() -> None:
    scene = Scene()
    await scene.beats.start(scene.node)
    scene.redis.away = "no answer in time"
    await until(lambda: scene.beats.is_away)
    calls = len(scene.redis.calls)
    await until(lambda: len(scene.redis.calls) > calls + 2)
    assert scene.redis.forgotten
    scene.redis.away = ""
    await until(lambda: not scene.beats.is_away)
    assert scene.node.states == [(False, 2), (True, 2), (False, 2)]
    assert scene.degraded == [True, False]
    assert len(scene.messages()) == 2
    await scene.beats.stop()


async def test_a_redis_that_cannot_serve_is_away() -> None:
    scene = Scene()
    await scene.beats.start(scene.node)
    scene.answer = Refused("READONLY You can't write against a read only replica")  # type: ignore[assignment]
    await until(lambda: scene.beats.is_away)
    assert "READONLY" in msgspec.json.decode(scene.lines[0])["error"]
    await scene.beats.stop()
    assert scene.redis.calls[-1][1].arguments[1] == "0"  # there is nobody to whom it could say that it leaves


@pytest.mark.parametrize(("nodes", "away"), [(None, 2), (1, 2), (5, 5)])
async def test_while_redis_is_away_there_are_no_fewer_nodes_than_were_configured(nodes: int | None, away: int) -> None:
    scene = Scene(nodes=nodes)
    await scene.beats.start(scene.node)
    scene.redis.away = "gone"
    await until(lambda: scene.beats.is_away)
    assert scene.node.states == [(False, 2), (True, away)]
    await scene.beats.stop()


async def test_a_start_without_redis_reckons_with_the_configured_number() -> None:
    scene = Scene(nodes=3)
    scene.redis.away = "gone"
    await scene.beats.start(scene.node)
    assert scene.node.states == [(True, 3)]
    await scene.beats.stop()


async def test_a_fault_of_ours_does_not_end_the_beats() -> None:
    scene = Scene()
    await scene.beats.start(scene.node)
    scene.answer = [1, "many"]
    await until(lambda: scene.beats.is_away)
    scene.answer = [1, 2]
    await until(lambda: not scene.beats.is_away)
    assert any("a beat failed" in message for message in scene.messages())
    await scene.beats.stop()
