"""Limits that four gateways share by one Redis: in no interval over, hardly ever under, and few questions for it."""

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.kinds import CHAT
from tests.support.limits import used
from tests.support.loop import LoopThread
from tests.support.nodes import Hammer, Node, Nodes, growth_in_any, watch
from tests.support.raw import Answer
from tests.support.redis import Redis
from tests.support.scene import ask, config_of
from tests.support.script import Pause, answer
from tests.support.upstream import Upstream
from tests.support.wait import until

pytestmark = [pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(150)]

WINDOW_S = 6
WINDOW_US = WINDOW_S * 1_000_000
LIMIT = 600
TOKENS = 60_000
ANSWER = {"prompt_tokens": 20, "completion_tokens": 180, "total_tokens": 200}


@pytest.fixture(scope="module")
def nodes(
    module_upstream: Upstream, loop: LoopThread, redis: Redis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nodes]:
    redis.call("FLUSHALL")
    # Closed: also where a busy machine keeps Redis from answering within 50 ms all that is admitted is counted.
    limits = {
        "m-hot": {"requests": f"{LIMIT}/{WINDOW_S}s", "away": "closed"},
        "m-tokens": {"tokens": f"{TOKENS}/{WINDOW_S}s", "away": "closed"},
        "m-busy": {"requests": "100000/10s"},
        "m-dying": {"requests": "120/3s", "away": "closed"},
        "m-reset": {"requests": "20/h", "away": "closed"},
        "m-day": {"requests": "50/day", "tokens": "100000/month", "away": "closed"},
    }
    config = config_of(module_upstream, limits={"models": limits})
    with Nodes(tmp_path_factory.mktemp("nodes"), loop, redis, config) as running:
        yield running


@pytest.fixture(autouse=True)
def _answering(upstream: Upstream) -> None:
    upstream.always(answer(CHAT.whole))


def asked(node: Node, model: str) -> Answer:
    """What Redis has said: where a busy machine keeps it from that for 50 ms nothing is charged, and we ask again."""

    def judged() -> Answer | None:
        given = ask(node.gateway, CHAT, False, model)
        return given if given.status != 503 else None

    given = until(judged, "an answer of Redis", 5.0)
    assert given is not None
    return given


def test_hammered_nodes_admit_the_limit_in_any_interval_and_hardly_less(nodes: Nodes) -> None:
    with Hammer(nodes.addresses, "m-hot") as hammer:
        hammer.run(4 * WINDOW_S + 1)
    admitted = nodes.admitted("m-hot")
    assert admitted.most(WINDOW_US) <= LIMIT
    part = len(admitted.within(admitted.first_us, 4 * WINDOW_US)) / (4 * LIMIT)
    assert part >= 0.95, part
    assert_answered(hammer)
    assert all(hammer.count(200, node) for node in range(4)), "each node had its part"


def test_fifty_clients_without_a_cap_use_a_limit_of_tokens_and_do_not_pass_it(nodes: Nodes, upstream: Upstream) -> None:
    upstream.always([Pause(0.03), *answer({**CHAT.whole, "usage": ANSWER})])
    addresses = [
        address for address, clients in zip(nodes.addresses, (13, 13, 12, 12), strict=True) for _ in range(clients)
    ]
    with Hammer(addresses, "m-tokens", pause_s=0.1) as hammer:
        hammer.run(3 * WINDOW_S + 1)
    admitted = nodes.admitted("m-tokens")
    assert admitted.most_tokens(WINDOW_US) <= TOKENS, "answers of one length are no surprise"
    part = admitted.within(admitted.first_us, 3 * WINDOW_US).tokens / (3 * TOKENS)
    assert part >= 0.9, part
    assert_answered(hammer)


def assert_answered(hammer: Hammer) -> None:
    """Redis was there all the time: it was hardly ever waited for in vain."""
    counts = Counter(told.status for told in hammer.told)
    assert counts[503] <= len(hammer.told) / 100, counts
    assert set(counts) <= {200, 429, 503}


def test_a_hot_limit_asks_twenty_times_a_second_at_most_also_when_redis_comes_back(nodes: Nodes, redis: Redis) -> None:
    node = nodes[0]
    rests(node)
    with Hammer([node.gateway.address], "m-busy", clients=6, eager=False) as hammer:
        readings = watch(node.asks, 3.0)
        before = hammer.count()
        redis.pause()
        try:
            until(lambda: not node.is_up(), "Redis is away", 3.0)
        finally:
            redis.resume()
        readings += watch(node.asks, 3.0)
    nodes.settle()
    assert before >= 300, before
    assert hammer.count() > before
    assert growth_in_any(readings, 0.95) <= 20
    assert readings[-1].value - readings[0].value > 5, "it did ask"
    assert hammer.count(429) == 0


def rests(node: Node) -> None:
    """Until nothing is left to ask or to tell of what was asked before."""
    last = (-1.0, 0.0)

    def unchanged() -> bool:
        nonlocal last
        now = time.monotonic()
        if (count := node.asks()) != last[0]:
            last = (count, now)
        return now - last[1] > 0.5

    until(unchanged, "no more asks", 10.0, 0.05)


def test_a_node_that_dies_lets_no_more_through_nor_in_its_next_life(nodes: Nodes) -> None:
    with Hammer(nodes.addresses, "m-dying") as hammer:
        hammer.run(1.5)
        nodes[3].gateway.kill()
        dead = hammer.count(200)
        hammer.run(4.0)
    assert sum(hammer.count(200, node) for node in range(3)) > 0
    assert hammer.count(200) > dead, "the others go on"
    nodes[3].start()
    nodes.settle()
    with Hammer(nodes.addresses, "m-dying") as hammer:
        hammer.run(4.0)
    assert hammer.count(200, 3) > 0
    assert nodes.admitted("m-dying").most(3_000_000) <= 120


def test_a_limit_that_one_node_has_used_up_is_used_up_everywhere_and_begins_anew_everywhere(nodes: Nodes) -> None:
    one, other, third, _ = nodes.each
    assert [asked(one, "m-reset").status for _ in range(21)] == [200] * 20 + [429]
    refused = asked(other, "m-reset")
    assert (refused.status, refused.error_code) == (429, "rate_limit_requests")
    assert refused.header("x-ratelimit-remaining-requests") == "0"
    assert 3_500 < int(refused.header("retry-after") or 0) <= 3_600 + 4 * 60
    assert used(other.gateway, "m-reset") == {"requests": 20}
    done = third.gateway.ask("POST", "/admin/v1/limits/model/m-reset/reset")
    assert done.status == 200, done.body
    for node in (other, one):
        until(lambda node=node: asked(node, "m-reset").status == 200, "it begins anew there", 5.0, 0.05)  # type: ignore[misc]
    assert [asked(third, "m-reset").status for _ in range(19)] == [200] * 18 + [429]


def test_a_day_and_a_month_are_one_for_all_nodes(nodes: Nodes) -> None:
    counts = [0] * 4

    def all_is_used() -> bool:
        for number, node in enumerate(nodes.each):
            counts[number] += [asked(node, "m-day").status for _ in range(5)].count(200)
        return sum(counts) >= 50

    # What one has a lease of and does not use it gives back, as others want it: after a quarter of a minute.
    until(all_is_used, "all of it is used", 25.0, 0.2)
    assert sum(counts) == 50
    assert min(counts) > 0
    assert {asked(node, "m-day").status for node in nodes.each} == {429}
    assert {used(node.gateway, "m-day")["requests"] for node in nodes.each} == {50}


def test_no_limit_costs_a_request_that_is_not_limited_a_question(nodes: Nodes) -> None:
    rests(nodes[1])
    before = nodes[1].asks()
    assert asked(nodes[1], "m").status == 200
    assert nodes[1].asks() == before
