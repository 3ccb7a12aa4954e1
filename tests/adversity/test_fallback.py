"""Which failures lead to the next target, in what order, and what a client is told when all of them fail."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Gateway
from tests.support.kinds import CHAT, DIALECTS, Kind
from tests.support.loop import LoopThread
from tests.support.scene import ask, config_of, provider
from tests.support.script import Cut, Hold, Pause, Script, Send, answer, chunk, stream, stream_head
from tests.support.upstream import Upstream

OVERLOADED = {"error": {"message": "too hot", "type": "server_error", "param": None, "code": None}}
GOOD = answer(CHAT.whole)


@pytest.fixture(scope="module")
def others(loop: LoopThread) -> Iterator[list[Upstream]]:
    upstreams = [Upstream(loop) for _ in range(2)]
    yield upstreams
    for each in upstreams:
        each.stop()


@pytest.fixture
def second(others: list[Upstream]) -> Upstream:
    others[0].reset()
    others[0].always(GOOD)
    return others[0]


@pytest.fixture
def third(others: list[Upstream]) -> Upstream:
    others[1].reset()
    others[1].always(GOOD)
    return others[1]


def to(name: str, **more: Any) -> dict[str, Any]:
    return {"provider": name, "model": name} | more


@pytest.fixture(scope="module")
def dead() -> Iterator[dict[str, Any]]:
    """Providers that refuse every connection: nobody listens on their ports, and nobody else can get them."""
    with ExitStack() as held:
        ports = []
        for _ in range(4):
            sock = held.enter_context(socket.socket())
            sock.bind(("127.0.0.1", 0))
            ports.append(sock.getsockname()[1])
        yield {f"dead{number}": provider(f"http://127.0.0.1:{port}") for number, port in enumerate(ports)}


@pytest.fixture(scope="module")
def settings(module_upstream: Upstream, others: list[Upstream], dead: dict[str, Any]) -> dict[str, Any]:
    plain = config_of(module_upstream)
    return {
        "timeouts": {"first_token": "400ms", "connect": "1s"},
        "max_attempts": 3,
        "providers": {
            **plain["providers"],
            "b": provider(others[0].root),
            "c": provider(others[1].root),
            **dead,
        },
        "models": {
            **plain["models"],
            "chain": {"targets": [to("up")], "fallback": [to("b"), to("c")]},
            "pair": {"targets": [to("up")], "fallback": [to("dead0")]},
            "dead-first": {"targets": [to("dead1")], "fallback": [to("b")]},
            "dead": {"targets": [to("dead2")], "fallback": [to("dead3")]},
            "long": {"targets": [to("up")], "fallback": [to("b"), {"provider": "up", "model": "x"}, to("c")]},
            "weighted": {"targets": [to("b", weight=9), to("c", weight=1)]},
        },
    }


FAILING: dict[str, Script] = {
    "408": answer(OVERLOADED, 408),
    "429": answer(OVERLOADED, 429),
    "500": answer(OVERLOADED, 500),
    "502": answer(OVERLOADED, 502),
    "503": answer(OVERLOADED, 503),
    "529": answer(OVERLOADED, 529),
    "silence": [Hold()],
    "cut": [Cut("fin")],
    "reset": [Cut("reset")],
    "garbage": [Send(b"garbage\r\n\r\n"), Cut("fin")],
}
FAILING_STREAMS: dict[str, Script] = FAILING | {
    "error frame": stream([b'data: {"error":{"message":"too hot"}}\n\n']),
    "json": answer(OVERLOADED),
    "head then silence": [stream_head(), Hold()],
    "comments, then silence": [stream_head(), Send(chunk(b": wait\n\n")), Hold()],
    "comments, then cut": [stream_head(), Send(chunk(b": wait\n\n")), Pause(0.02), Cut("fin")],
}


@pytest.mark.parametrize("failure", FAILING)
def test_a_whole_answer_comes_from_the_next_target(
    gateway: Gateway, upstream: Upstream, second: Upstream, failure: str
) -> None:
    upstream.always(FAILING[failure])
    got = ask(gateway, CHAT, stream=False, model="chain")
    assert (got.status, got.header("x-penstock-target"), got.header("x-penstock-attempts")) == (200, "b/b", "2")
    assert got.json() == CHAT.whole
    assert second.requests[0].json()["model"] == "b"


@pytest.mark.parametrize("failure", FAILING_STREAMS)
def test_a_stream_comes_from_the_next_target(
    gateway: Gateway, upstream: Upstream, second: Upstream, failure: str
) -> None:
    upstream.always(FAILING_STREAMS[failure])
    second.always(stream(list(CHAT.frames)))
    got = ask(gateway, CHAT, model="chain")
    assert (got.status, got.header("x-penstock-target"), got.header("x-penstock-attempts")) == (200, "b/b", "2")
    assert got.body == b"".join(CHAT.frames)


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422])
def test_the_callers_own_mistakes_go_nowhere_else(
    gateway: Gateway, upstream: Upstream, second: Upstream, status: int
) -> None:
    upstream.always(answer(OVERLOADED, status))
    got = ask(gateway, CHAT, stream=False, model="chain")
    assert (got.status, got.json()) == (status, OVERLOADED)
    assert got.error_code is None
    assert not second.requests


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
def test_a_refused_key_of_ours_is_a_502(gateway: Gateway, upstream: Upstream, kind: Kind, status: int) -> None:
    upstream.always(answer({"error": {"message": "bad key sk-secret"}}, status))
    got = ask(gateway, kind, stream=False)
    assert (got.status, got.error_code) == (502, "upstream_auth")
    assert "sk-secret" not in kind.error_message(got)


def test_targets_are_tried_in_order_and_the_last_answer_is_relayed(
    gateway: Gateway, upstream: Upstream, second: Upstream, third: Upstream
) -> None:
    upstream.always(answer(OVERLOADED, 500))
    second.always(answer(OVERLOADED, 503))
    third.always(answer({"error": {"message": "slower"}}, 429, retry_after="7"))
    got = ask(gateway, CHAT, stream=False, model="chain")
    assert (got.status, got.json()) == (429, {"error": {"message": "slower"}})
    assert got.header("retry-after") == "7"
    assert got.header("x-should-retry") == "false"
    assert got.header("x-penstock-attempts") == "3"
    assert got.error_code is None
    assert upstream.requests[0].arrived < second.requests[0].arrived < third.requests[0].arrived


def test_one_target_alone_leaves_the_retry_to_the_caller(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer(OVERLOADED, 429, retry_after="3"))
    got = ask(gateway, CHAT, stream=False)
    assert (got.status, got.header("retry-after"), got.header("x-should-retry")) == (429, "3", None)
    assert len(upstream.requests) == 1


def test_the_last_real_answer_is_relayed_even_if_a_later_target_is_down(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer(OVERLOADED, 503, retry_after="2"))
    got = ask(gateway, CHAT, stream=False, model="pair")
    assert (got.status, got.json(), got.header("retry-after")) == (503, OVERLOADED, "2")


def test_a_target_that_cannot_be_reached_is_tried_last_for_a_while(gateway: Gateway, second: Upstream) -> None:
    first = ask(gateway, CHAT, stream=False, model="dead-first")
    assert (first.status, first.header("x-penstock-attempts")) == (200, "2")
    again = ask(gateway, CHAT, stream=False, model="dead-first")
    assert (again.status, again.header("x-penstock-attempts")) == (200, "1")
    assert len(second.requests) == 2


@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
def test_nobody_there_is_a_502_that_says_so(gateway: Gateway, kind: Kind) -> None:
    got = ask(gateway, kind, model="dead")
    assert (got.status, got.error_code) == (502, "upstream_connect")
    assert kind.error_message(got)


@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
def test_a_model_that_never_begins_is_a_504(gateway: Gateway, upstream: Upstream, kind: Kind) -> None:
    upstream.always([Hold()])
    got = ask(gateway, kind)
    assert (got.status, got.error_code) == (504, "first_token_timeout")
    assert kind.error_message(got)


def test_attempts_are_bounded(gateway: Gateway, upstream: Upstream, second: Upstream, third: Upstream) -> None:
    for each in (upstream, second, third):
        each.always(answer(OVERLOADED, 500))
    got = ask(gateway, CHAT, stream=False, model="long")
    assert got.status == 500
    assert len(upstream.requests) + len(second.requests) + len(third.requests) == 3


def test_nothing_is_tried_again_after_the_first_frame(gateway: Gateway, upstream: Upstream, second: Upstream) -> None:
    upstream.always([stream_head(), Send(chunk(CHAT.frames[0])), Pause(0.02), Cut("fin")])
    got = ask(gateway, CHAT, model="chain")
    assert CHAT.outcome(got.body) == "error"
    assert not second.requests


def test_the_weight_decides_who_is_asked_first(
    gateway: Gateway, second: Upstream, third: Upstream, rounds: int
) -> None:
    for _ in range(max(100, rounds)):
        assert ask(gateway, CHAT, stream=False, model="weighted").status == 200
    assert len(second.requests) > 2 * len(third.requests)
    assert third.requests


def test_a_reused_connection_that_breaks_is_retried_on_a_fresh_one(gateway: Gateway, upstream: Upstream) -> None:
    upstream.answer = lambda seen: GOOD if seen.connection.requests <= 1 else [Cut("reset")]
    for _ in range(6):
        assert ask(gateway, CHAT, stream=False).status == 200


def test_one_that_had_the_request_for_long_before_it_breaks_is_not_asked_again(
    upstream: Upstream, tmp_path: Path
) -> None:
    upstream.answer = lambda seen: GOOD if seen.connection.requests <= 1 else [Pause(1.5), Cut("fin")]
    with Gateway(tmp_path, config_of(upstream, workers=1)) as gateway:
        assert ask(gateway, CHAT, stream=False).status == 200
        got = ask(gateway, CHAT, stream=False)
    assert (got.status, got.error_code) == (502, "upstream_cut")
    assert len(upstream.requests) == 2, "it may have worked on it"


def test_a_fresh_connection_that_breaks_is_not_asked_again(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always([Cut("fin")])
    # Whatever idle connections earlier tests left are used up by the first of these.
    for _ in range(8):
        ask(gateway, CHAT, stream=False)
    before = len(upstream.requests)
    got = ask(gateway, CHAT, stream=False)
    assert got.status == 502
    assert len(upstream.requests) == before + 1


def test_a_connection_that_the_upstream_closed_is_not_reused(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always([*GOOD, Cut("fin")])
    for _ in range(8):
        ask(gateway, CHAT, stream=False)
    before = len(upstream.requests)
    for _ in range(5):
        assert ask(gateway, CHAT, stream=False).status == 200
    assert len(upstream.requests) == before + 5


def test_connections_are_reused(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(GOOD)
    for _ in range(20):
        assert ask(gateway, CHAT, stream=False).status == 200
    # One idle connection a worker is enough when requests come one by one.
    assert len(upstream.connections) <= 4
