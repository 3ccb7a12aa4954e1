"""Limits in the life of a request: what is refused and how, who waits, and whom a limit passes over."""

import calendar
import math
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.gateway import Gateway
from tests.support.kinds import CHAT, DIALECTS, MESSAGES, Kind
from tests.support.limits import TOKENS, limited, record, used
from tests.support.loop import LoopThread
from tests.support.raw import Answer, get
from tests.support.scene import ask, assert_refused, config_of, open_request, provider
from tests.support.script import Hold, Send, WaitFor, answer, chunk, stream, stream_head
from tests.support.upstream import Upstream
from tests.support.wait import until

HOUR_S = 3_600


@pytest.fixture(scope="module")
def other(loop: LoopThread) -> Iterator[Upstream]:
    with Upstream(loop) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def settings(module_upstream: Upstream, other: Upstream) -> dict[str, Any]:
    plain = config_of(module_upstream)
    tight = {name: provider(other.root) for name in ("tight", "shut", "small", "slow")}
    return {
        "providers": {**plain["providers"], **tight},
        "models": {
            **plain["models"],
            "m-skips": {
                "targets": [{"provider": "tight", "model": "x"}],
                "fallback": [{"provider": "up", "model": "y"}],
            },
            "m-shut": {"targets": [{"provider": "shut", "model": "x"}]},
            "m-small": {"targets": [{"provider": "small", "model": "x"}]},
            "m-failing": {
                "targets": [{"provider": "slow", "model": "x"}],
                "fallback": [{"provider": "up", "model": "y"}],
            },
            "p-*": {"targets": [{"provider": "up"}]},
        },
        "prices": {"p-*": {"input": 1, "output": 10}},
        "limits": {
            "providers": {
                "tight": {"requests": "1/h"},
                "shut": {"requests": "1/h", "concurrent": 1},
                "small": {"tokens": "5/h"},
                "slow": {"requests": "2/h", "tokens": "1000000/h"},
            },
            "models": {
                **limited(
                    one={"requests": "1/h"},
                    tokens={"tokens": "1000/h"},
                    small={"tokens": "5/h"},
                    held={"concurrent": 1},
                ),
                "m-soon": {"requests": "1/s"},
                "m-none": {"requests": "0/h"},
                "m-nobody": {"concurrent": 0},
                "m-queue": {"concurrent": 1, "queue": "5s"},
                "m-short": {"concurrent": 1, "queue": "200ms"},
                "p-poor": {"budget": "0.006 usd/h"},
                "m-again": {"requests": "2/h"},
            },
        },
    }


def wait_s(refused: Answer) -> float:
    """When to ask again, as both headers say."""
    exact = int(refused.header("retry-after-ms") or -1) / 1_000
    assert int(refused.header("retry-after") or -1) == math.ceil(exact), refused.head
    assert exact > 0
    return exact


# -- refusals


@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
def test_a_limit_of_requests_refuses_in_the_callers_dialect(gateway: Gateway, upstream: Upstream, kind: Kind) -> None:
    upstream.always(answer(kind.whole))
    model = f"m-one-{kind.name}"
    first = ask(gateway, kind, False, model)
    assert first.status == 200
    refused = ask(gateway, kind, False, model)
    message = assert_refused(refused, kind, 429, "rate_limit_requests")
    assert message.startswith(f"The limit of 1 request per hour of the model {model} is reached; try again in ")
    assert HOUR_S - 60 < wait_s(refused) <= HOUR_S * 61 / 60 + 1
    assert refused.header("x-should-retry") is None
    for each in first, refused:
        if kind.dialect == "anthropic":
            names = [name for name, _ in each.headers if "ratelimit" in name]
            assert names == [f"anthropic-ratelimit-requests-{what}" for what in ("limit", "remaining", "reset")]
            assert each.header("anthropic-ratelimit-requests-limit") == "1"
            assert each.header("anthropic-ratelimit-requests-remaining") == "0"
            until_utc = time.strptime(each.header("anthropic-ratelimit-requests-reset") or "", "%Y-%m-%dT%H:%M:%SZ")
            assert abs(calendar.timegm(until_utc) - time.time() - HOUR_S) < 120
        else:
            assert each.header("x-ratelimit-limit-requests") == "1"
            assert each.header("x-ratelimit-remaining-requests") == "0"
            assert (each.header("x-ratelimit-reset-requests") or "").startswith(("1h", "59m"))
    assert len(upstream.requests) == 1
    if kind is CHAT:
        error = refused.json()["error"]
        assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
    if kind is MESSAGES:
        assert refused.json()["error"]["type"] == "rate_limit_error"


def test_without_limits_no_header_speaks_of_them(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer(CHAT.whole))
    answered = ask(gateway, CHAT, False)
    assert not [name for name, _ in answered.headers if "ratelimit" in name or "queued" in name]
    assert "charged_tokens" not in record(gateway, answered)


def test_a_limit_of_tokens_says_what_the_request_may_need(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer({**CHAT.whole, "usage": {"prompt_tokens": 900, "completion_tokens": 90}}))
    model = "m-tokens-chat"
    first = ask(gateway, CHAT, False, model)
    assert first.header("x-ratelimit-limit-tokens") == "1000"
    refused = ask(gateway, CHAT, False, model, max_tokens=20)
    message = assert_refused(refused, CHAT, 429, "rate_limit_tokens")
    assert (
        "The limit of 1000 tokens per hour of the model m-tokens-chat is reached for a request that may need "
        in message
    )
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("tokens", "rate_limit_exceeded")
    assert refused.header("x-ratelimit-remaining-tokens") == "10"
    wait_s(refused)
    assert used(gateway, model) == {"tokens": 990}, "what was refused uses up nothing"


def test_a_budget_refuses_for_good(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer({**CHAT.whole, "usage": {"prompt_tokens": 9, "completion_tokens": 590}}))
    assert ask(gateway, CHAT, False, "p-poor").status == 200
    assert used(gateway, "p-poor") == {"budget": 9 * 1_000 + 590 * 10_000}
    refused = ask(gateway, CHAT, False, "p-poor")
    message = assert_refused(refused, CHAT, 429, "budget_exceeded")
    assert "0.006 USD per hour of the model p-poor" in message
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
    assert refused.header("x-should-retry") == "false"
    wait_s(refused)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("m-small-chat", "The limit of 5 tokens per hour of the model m-small-chat is less than this request alone"),
        ("m-none", "The limit of 0 requests per hour of the model m-none lets no request through"),
        ("m-small", "The limit of 5 tokens per hour of the provider small is less than this request alone"),
    ],
)
def test_what_can_never_fit_is_a_400(gateway: Gateway, upstream: Upstream, model: str, message: str) -> None:
    refused = ask(gateway, CHAT, False, model)
    assert message in assert_refused(refused, CHAT, 400, "request_exceeds_limit")
    assert refused.header("retry-after") is None
    assert not upstream.heads


def test_nobody_at_once_is_closed_for_a_minute_at_least(gateway: Gateway, upstream: Upstream) -> None:
    refused = ask(gateway, CHAT, False, "m-nobody")
    assert "0 requests at the same time" in assert_refused(refused, CHAT, 429, "rate_limit_concurrent")
    assert wait_s(refused) >= 60


def test_the_time_to_wait_is_true(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer(CHAT.whole))
    for _ in range(2):
        until(lambda: ask(gateway, CHAT, False, "m-soon").status == 200, "a first one", 3)
        began = time.monotonic()
        refused = ask(gateway, CHAT, False, "m-soon")
        told = time.monotonic()
        assert refused.status == 429
        until(lambda: ask(gateway, CHAT, False, "m-soon").status == 200, "the next one", 3, 0.002)
        waited = time.monotonic()
        # Told in whole milliseconds, rounded up.
        assert began + wait_s(refused) - 0.001 <= waited, "not before it was said"
        assert waited <= told + wait_s(refused) + 0.25, "and then at once"


# -- waiting


def holding(upstream: Upstream, kind: Kind = CHAT) -> threading.Event:
    """The next answer comes when the test says so."""
    go = threading.Event()
    upstream.queue([WaitFor(go), *answer(kind.whole)])
    return go


@pytest.mark.parametrize("kind", DIALECTS, ids=lambda kind: kind.name)
def test_so_many_at_once_and_no_more(gateway: Gateway, upstream: Upstream, kind: Kind) -> None:
    upstream.always(answer(kind.whole))
    go = holding(upstream, kind)
    model = f"m-held-{kind.name}"
    with open_request(gateway, kind, False, model) as first:
        upstream.wait_request()
        refused = ask(gateway, kind, False, model)
        message = assert_refused(refused, kind, 429, "rate_limit_concurrent")
        assert f"The limit of 1 request at the same time of the model {model} is reached" in message
        assert 0 < wait_s(refused) <= 60
        go.set()
        assert first.read().status == 200
    assert ask(gateway, kind, False, model).status == 200


def test_one_after_the_other_never_meets_itself(gateway: Gateway, upstream: Upstream, rounds: int) -> None:
    upstream.always(answer(CHAT.whole))
    statuses = {ask(gateway, CHAT, False, "m-held-chat").status for _ in range(10 * rounds)}
    upstream.always(stream(CHAT.frames))
    statuses |= {ask(gateway, CHAT, True, "m-held-chat").status for _ in range(10 * rounds)}
    assert statuses == {200}, "a slot is free once the answer is there"


def test_in_a_queue_the_first_to_come_is_the_first_to_go(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer(CHAT.whole))
    go = holding(upstream)
    waiting = []
    with open_request(gateway, CHAT, False, "m-queue", user="0") as first:
        upstream.wait_request()
        for number in range(1, 4):
            before = gateway.counts()["in flight"]
            waiting.append(open_request(gateway, CHAT, False, "m-queue", user=str(number)))
            until(lambda before=before: gateway.counts()["in flight"] > before, "one more")  # type: ignore[misc]
        go.set()
        assert first.read().header("x-penstock-queued-ms") is None
        answers = [client.read() for client in waiting]
    for client in waiting:
        client.close()
    assert [a.status for a in answers] == [200, 200, 200]
    assert [seen.json()["user"] for seen in upstream.requests] == ["0", "1", "2", "3"]
    for each in answers:
        queued_ms = int(each.header("x-penstock-queued-ms") or 0)
        assert queued_ms > 0
        assert math.ceil(record(gateway, each)["queued_us"] / 1_000) == queued_ms
        assert int(each.header("x-penstock-overhead-us") or 0) < queued_ms * 1_000 + 100_000
    assert gateway.metrics().value("penstock_limit_wait_seconds_count") >= 3


def test_a_queue_ends_after_its_time(gateway: Gateway, upstream: Upstream) -> None:
    go = holding(upstream)
    with open_request(gateway, CHAT, False, "m-short") as first:
        upstream.wait_request()
        began = time.monotonic()
        refused = ask(gateway, CHAT, False, "m-short")
        assert_refused(refused, CHAT, 429, "rate_limit_concurrent")
        assert 0.2 <= time.monotonic() - began < 2
        queued_ms = int(refused.header("x-penstock-queued-ms") or 0)
        assert queued_ms >= 200
        assert math.ceil(record(gateway, refused)["queued_us"] / 1_000) == queued_ms
        assert int(refused.header("x-penstock-overhead-us") or 0) < 200_000
        go.set()
        assert first.read().status == 200


@pytest.mark.parametrize("where", ["upstream", "queue", "stream"])
def test_whoever_leaves_gives_the_slot_back(gateway: Gateway, upstream: Upstream, where: str) -> None:
    upstream.queue([stream_head(), Send(chunk(CHAT.frames[0])), Hold()] if where == "stream" else [Hold()])
    first = open_request(gateway, CHAT, where == "stream", "m-queue")
    upstream.wait_request()
    if where == "queue":
        idle = gateway.counts()["in flight"]
        second = open_request(gateway, CHAT, False, "m-queue")
        until(lambda: gateway.counts()["in flight"] > idle, "the second waits")
        second.close()
        until(lambda: gateway.counts()["in flight"] == idle, "the second is gone")
    first.close()
    upstream.always(answer(CHAT.whole))
    assert ask(gateway, CHAT, False, "m-queue").status == 200
    assert used(gateway, "m-queue") == {"concurrent": 0}


# -- providers


def test_a_provider_at_its_limit_is_passed_over(gateway: Gateway, upstream: Upstream, other: Upstream) -> None:
    upstream.always(answer(CHAT.whole))
    other.always(answer(CHAT.whole))
    first, second = (ask(gateway, CHAT, False, "m-skips") for _ in range(2))
    assert first.header("x-penstock-target") == "tight/x"
    assert first.header("x-ratelimit-remaining-requests") == "0"
    assert (second.status, second.header("x-penstock-target")) == (200, "up/y")
    assert second.header("x-penstock-attempts") == "1", "nobody else was asked"
    attempts = record(gateway, second)["attempts"]
    assert [(a["provider"], a.get("code"), a.get("status")) for a in attempts] == [
        ("tight", "rate_limit_requests", None),
        ("up", None, 200),
    ]
    assert gateway.metrics().value("penstock_limit_refusals_total", scope="provider", kind="requests") >= 1


def test_if_all_providers_are_at_their_limit_the_client_is_told_whose(
    gateway: Gateway, upstream: Upstream, other: Upstream
) -> None:
    other.always(answer(CHAT.whole))
    assert ask(gateway, CHAT, False, "m-shut").status == 200
    for kind, streams in (CHAT, False), (CHAT, True), (MESSAGES, False):
        refused = ask(gateway, kind, streams, "m-shut")
        message = assert_refused(refused, kind, 429, "rate_limit_requests")
        assert "The limit of 1 request per hour of the provider shut is reached" in message
        assert refused.header("x-penstock-attempts") is None
        assert refused.header("x-should-retry") is None
        wait_s(refused)


def test_an_attempt_that_fails_uses_up_its_providers_requests_alone(
    gateway: Gateway, upstream: Upstream, other: Upstream
) -> None:
    upstream.always(answer(CHAT.whole))
    other.always(answer({"error": {"message": "no"}}, 500))
    answered = ask(gateway, CHAT, False, "m-failing")
    assert (answered.header("x-penstock-target"), answered.header("x-penstock-attempts")) == ("up/y", "2")
    assert used(gateway, "slow", "provider") == {"requests": 1, "tokens": 0}
    other.always(answer(CHAT.whole))
    assert ask(gateway, CHAT, False, "m-failing").header("x-penstock-target") == "slow/x"
    assert used(gateway, "slow", "provider") == {"requests": 2, "tokens": TOKENS}
    assert ask(gateway, CHAT, False, "m-failing").header("x-penstock-target") == "up/y"
    assert used(gateway, "slow", "provider") == {"requests": 2, "tokens": TOKENS}


# -- reload


def test_a_reload_keeps_the_counts(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer(CHAT.whole))
    assert [ask(gateway, CHAT, False, "m-again").status for _ in range(3)] == [200, 200, 429]
    limits = gateway.config["limits"]
    models = limits["models"] | {"m-again": {"requests": "3/h"}}
    gateway.write_config(limits=limits | {"models": models})
    gateway.signal(signal.SIGHUP)
    until(lambda: ask(gateway, CHAT, False, "m-again").status == 200, "one more")
    assert ask(gateway, CHAT, False, "m-again").status == 429
    assert used(gateway, "m-again") == {"requests": 3}


def test_the_key_that_asks_sees_its_limits(gateway: Gateway, upstream: Upstream) -> None:
    shown = get(gateway.address, "/v1/key").json()
    assert shown == {"id": "open", "content": False, "limits": [], "spend": None}
