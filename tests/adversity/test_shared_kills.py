"""Redis is killed and comes back, with all it had or with nothing: what policies let through, what one loss costs."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kinds import CHAT
from tests.support.loop import LoopThread
from tests.support.nodes import Hammer, Nodes, boottime_us
from tests.support.redis import Redis
from tests.support.scene import config_of
from tests.support.script import answer
from tests.support.upstream import Upstream
from tests.support.wait import until

pytestmark = [pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(150)]

WINDOW_S = 6
WINDOW_US = WINDOW_S * 1_000_000
LIMIT = 120
POLICIES = ("fair_share", "closed", "open")


@pytest.fixture
def mortal(request: pytest.FixtureRequest) -> Iterator[Redis]:
    with Redis(durable=request.param) as running:
        yield running


@pytest.fixture
def nodes(upstream: Upstream, loop: LoopThread, mortal: Redis, tmp_path: Path) -> Iterator[Nodes]:
    upstream.always(answer(CHAT.whole))
    limits = {f"m-{policy}": {"requests": f"{LIMIT}/{WINDOW_S}s", "away": policy} for policy in POLICIES}
    with Nodes(tmp_path, loop, mortal, config_of(upstream, limits={"models": limits})) as running:
        yield running


@pytest.mark.parametrize("mortal", [True, False], ids=["comes back whole", "comes back empty"], indirect=True)
def test_redis_is_killed_under_load(nodes: Nodes, mortal: Redis, request: pytest.FixtureRequest) -> None:
    losses = 0 if "whole" in request.node.name else 1
    with contextlib.ExitStack() as asking:
        hammers = {
            policy: asking.enter_context(Hammer(nodes.addresses, f"m-{policy}", pause_s=0.02)) for policy in POLICIES
        }
        hammers["open"].run(2.0)
        mortal.kill()
        until(lambda: not any(node.is_up() for node in nodes.each), "all have noticed", 3.0, 0.02)
        noticed_us = boottime_us()
        hammers["open"].run(2.0)
        dead_us = boottime_us() - noticed_us
        mortal.start()
        nodes.settle()
        back, back_us = time.monotonic(), boottime_us()
        hammers["open"].run(2.2 * WINDOW_S)
    every = {policy: nodes.admitted(f"m-{policy}") for policy in POLICIES}
    # What live leases have left may still be spent, as long as they live: a sub-bucket and a half.
    late_us = WINDOW_US // 40
    assert len(every["closed"].within(noticed_us + late_us, dead_us - late_us)) == 0
    assert hammers["closed"].count(503, away="closed") > 0
    assert hammers["open"].count(200, away="open") > 0
    for number in range(4):
        alone = nodes.admitted("m-fair_share", number).within(noticed_us + late_us, dead_us - late_us)
        assert len(alone) <= LIMIT // 4
    assert every["closed"].most(WINDOW_US) <= LIMIT * (1 + losses)
    # Each node its part, beside what all had used before: at most one whole limit more.
    assert every["fair_share"].most(WINDOW_US) <= LIMIT * (2 + losses)
    assert every["open"].most(WINDOW_US) <= 4 * LIMIT
    for policy in POLICIES:
        again = every[policy].since(back_us)
        assert again.most(WINDOW_US) <= LIMIT + hammers[policy].strays(since=back), "it counts as ever"
        assert again.most(WINDOW_US) >= 0.9 * LIMIT
