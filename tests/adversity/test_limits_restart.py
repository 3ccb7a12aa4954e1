"""What long limits have counted outlives the process, however it ends."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Gateway
from tests.support.kinds import CHAT
from tests.support.limits import used
from tests.support.loop import LoopThread
from tests.support.raw import Answer
from tests.support.scene import ask, config_of
from tests.support.script import answer
from tests.support.upstream import Upstream

KEPT_S = 1.5
"""The checkpoint second, and a write."""
COST_NANOUSD = 2_000_000
"""Of each answer: two tokens of completion."""


@pytest.fixture
def upstream(loop: LoopThread) -> Iterator[Upstream]:
    with Upstream(loop) as upstream:
        upstream.always(answer(CHAT.whole))
        yield upstream


@pytest.fixture
def settings(upstream: Upstream) -> dict[str, Any]:
    """A budget of ten answers a day, and a window that is too short to be kept."""
    return config_of(upstream) | {
        "prices": {"*": {"input": 0, "output": 1_000}},
        "limits": {"models": {"m": {"budget": "0.02 usd/day", "requests": ["1000/h", "1000/min"]}}},
    }


def asked(gateway: Gateway) -> Answer:
    return ask(gateway, CHAT, False, "m", max_tokens=1)


def test_of_a_budget_that_is_three_fifths_spent_two_fifths_are_left_after_kill_9(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    with Gateway(tmp_path, settings) as gateway:
        for _ in range(6):
            assert asked(gateway).status == 200
        before = used(gateway, "m")
        assert before["budget"] == 6 * COST_NANOUSD
        time.sleep(KEPT_S)
        gateway.kill()
        gateway.start()
        after = used(gateway, "m")
        assert after["budget"] == before["budget"]
        assert [asked(gateway).status for _ in range(5)] == [200, 200, 200, 200, 429]
        assert used(gateway, "m")["budget"] == 10 * COST_NANOUSD
        gateway.stop()
        gateway.start()
        assert used(gateway, "m")["budget"] == 10 * COST_NANOUSD, "an orderly end keeps the last second too"
