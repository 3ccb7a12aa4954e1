"""Nodes that lose Redis, each in its way: what the policies let through then, and that nothing is spent twice."""

import contextlib
import time
from collections.abc import Iterator

import pytest

from tests.support.kinds import CHAT
from tests.support.loop import LoopThread
from tests.support.nodes import AWAY, Hammer, Node, Nodes, boottime_us, p99_s
from tests.support.redis import Redis
from tests.support.scene import ask, assert_refused, config_of
from tests.support.script import answer
from tests.support.upstream import Upstream
from tests.support.wait import until

pytestmark = [pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(300)]

WINDOW_S = 6
WINDOW_US = WINDOW_S * 1_000_000
LIMIT = 40
SHARE = LIMIT // 4
POLICIES = ("fair_share", "closed", "open")
WAYS = ("cut", "silent", "slow")
DEADLINE_S = 30.0
"""For what takes a second or two, on a machine that is busy: the second in which Redis is missed is measured where
nothing else runs."""
PATIENCE_S = 0.3
"""The 50 ms that a request waits and what a busy machine adds, beside what a request without limits takes before."""
LONGEST_S = 1.5
"""The same of the one in a hundred that was held up: still less than a question to Redis may take."""


@pytest.fixture(scope="module")
def nodes(
    module_upstream: Upstream, loop: LoopThread, redis: Redis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nodes]:
    redis.call("FLUSHALL")
    requests = f"{LIMIT}/{WINDOW_S}s"
    limits = {
        f"m-{way}-{policy}": {"requests": requests, "away": policy} for way in (*WAYS, "all") for policy in POLICIES
    }
    limits |= {f"m-noise-{way}": {"requests": requests} for way in WAYS}
    config = config_of(module_upstream, limits={"models": limits})
    with Nodes(tmp_path_factory.mktemp("nodes"), loop, redis, config) as running:
        yield running


@pytest.fixture(autouse=True)
def _whole(nodes: Nodes, redis: Redis, upstream: Upstream) -> Iterator[None]:
    """Every upstream answers; after each test all lines are as they were."""
    upstream.always(answer(CHAT.whole))
    yield
    redis.resume()
    nodes.heal()


def lose(node: Node, way: str) -> None:
    match way:
        case "cut":
            node.cut()
        case "silent":
            node.line.silence()
        case _:
            node.line.delay_s = 0.5


@pytest.mark.parametrize("way", WAYS)
def test_a_node_that_loses_redis_goes_by_the_policy_of_each_limit_and_comes_back(nodes: Nodes, way: str) -> None:
    node = nodes[0]
    models = {policy: f"m-{way}-{policy}" for policy in POLICIES}
    with Hammer(nodes.addresses, "m") as unlimited:
        until(lambda: unlimited.count(node=0) >= 400, "so many answers", DEADLINE_S)
    usual = [one for one in unlimited.told if one.node == 0]
    lost_us = boottime_us()
    lose(node, way)
    with contextlib.ExitStack() as asking:
        hammers = {
            policy: asking.enter_context(Hammer(nodes.addresses, model, pause_s=0.02))
            for policy, model in models.items()
        }
        until(lambda: not node.is_up(), "the node has noticed", DEADLINE_S, 0.02)
        hammers["open"].run(1.2 * WINDOW_S)
        told = {policy: [one for one in hammer.told if one.node == 0] for policy, hammer in hammers.items()}
        healed_us = boottime_us()
        node.line.heal()
        until(node.is_up, "the node is back", DEADLINE_S, 0.02)
        back, back_us = time.monotonic(), boottime_us()
        hammers["open"].run(1.5 * WINDOW_S)
    mine = {policy: nodes.admitted(model, 0).within(lost_us, healed_us - lost_us) for policy, model in models.items()}
    every = {policy: nodes.admitted(model) for policy, model in models.items()}

    assert len(mine["closed"]) == 0
    assert {one.status for one in told["closed"]} == {503}
    assert mine["fair_share"].most(WINDOW_US) == SHARE, "all of its share, and no more"
    assert mine["open"].most(WINDOW_US) == LIMIT
    for policy in POLICIES:
        # Of what a node has used up all by itself nobody else need be asked.
        assert {one.away for one in told[policy] if (policy, one.status) != ("open", 429)} == {policy}
        assert p99_s(told[policy]) < PATIENCE_S + p99_s(usual)
        assert max(one.took_s for one in told[policy]) < LONGEST_S + max(one.took_s for one in usual)
    assert {one.status for one in told["fair_share"]} == {one.status for one in told["open"]} == {200, 429}

    for policy, bound in (("closed", LIMIT), ("fair_share", LIMIT + SHARE), ("open", 2 * LIMIT)):
        assert every[policy].most(WINDOW_US) <= bound + hammers[policy].strays(1, 2, 3)
    for policy, model in models.items():
        others = nodes.admitted(model, 1, 2, 3)
        assert others.within(others.first_us, WINDOW_US).most(WINDOW_US) >= 0.95 * LIMIT, "they have all of the limit"
        bound = LIMIT + hammers[policy].strays(since=back)
        assert every[policy].since(back_us).most(WINDOW_US) <= bound, "nothing is spent twice"
        assert len(nodes.admitted(model, 0).since(back_us)) > 0, "and it has its part again"


def test_when_no_node_has_redis_their_shares_add_up_to_the_limit(nodes: Nodes, redis: Redis) -> None:
    lost_us = boottime_us()
    redis.pause()
    with contextlib.ExitStack() as asking:
        hammers = {
            policy: asking.enter_context(Hammer(nodes.addresses, f"m-all-{policy}", pause_s=0.02))
            for policy in POLICIES
        }
        until(lambda: not any(node.is_up() for node in nodes.each), "all have noticed", DEADLINE_S, 0.02)
        hammers["open"].run(1.2 * WINDOW_S)
        healed_us = boottime_us()
        redis.resume()
        nodes.settle()
        back, back_us = time.monotonic(), boottime_us()
        hammers["open"].run(1.5 * WINDOW_S)
    alone = {p: nodes.admitted(f"m-all-{p}").within(lost_us, healed_us - lost_us) for p in POLICIES}
    assert len(alone["closed"]) == 0
    assert alone["fair_share"].most(WINDOW_US) == LIMIT, "each its part"
    assert alone["open"].most(WINDOW_US) == 4 * LIMIT, "each all of it"
    for policy, bound in (("closed", LIMIT), ("fair_share", 2 * LIMIT), ("open", 4 * LIMIT)):
        every = nodes.admitted(f"m-all-{policy}")
        assert every.most(WINDOW_US) <= bound
        again = every.since(back_us)
        assert 0 < again.most(WINDOW_US) <= LIMIT + hammers[policy].strays(since=back), "nothing is spent twice"


def test_a_request_that_no_policy_lets_through_is_told_when_to_come_again(nodes: Nodes) -> None:
    node = nodes[1]
    node.cut()
    until(lambda: not node.is_up(), "the node has noticed", DEADLINE_S, 0.02)
    refused = ask(node.gateway, CHAT, False, "m-cut-closed")
    message = assert_refused(refused, CHAT, 503, "store_unavailable")
    assert f"{LIMIT} requests per 6 seconds of the model m-cut-closed is shared between nodes" in message
    assert (refused.header("retry-after"), refused.header(AWAY)) == ("1", "closed")
    ready = node.gateway.ask("GET", "/health/ready")
    assert ready.status == 200, "an outage of Redis does not empty the load balancer"
    assert "Redis" in ready.body.decode()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.timeout(150)
def test_who_is_not_limited_does_not_notice(nodes: Nodes, way: str) -> None:
    node = nodes[2]
    before: list[float] = []
    during: list[float] = []
    for _ in range(30):
        for times, lost in ((before, False), (during, True)):
            if lost:
                lose(node, way)
                until(lambda: not node.is_up(), "the node has noticed", DEADLINE_S, 0.02)
            with (
                Hammer([node.gateway.address], f"m-noise-{way}", pause_s=0.02),
                Hammer([node.gateway.address], "m", pause_s=0.001, eager=False) as hammer,
            ):
                until(lambda hammer=hammer: len(hammer.told) >= 400, "so many answers", DEADLINE_S)  # type: ignore[misc]
            assert {one.status for one in hammer.told} == {200}
            times.append(p99_s(hammer.told))
            if lost:
                nodes.heal()
        # What an outage cost who needs no Redis would show each time; what else runs on the machine, only at times.
        if len(during) >= 4 and min(during) <= 1.3 * min(before):
            return
    raise AssertionError(f"99 of 100 answers took {during} s without Redis, {before} s with it")
