"""One gateway for all SDK tests, in front of the demo provider and a scripted upstream.

With `PENSTOCK_TEST_DIRECT=1` the SDKs talk to those two directly: that proves the tests themselves.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.support.demo import RunningDemo
from tests.support.gateway import Gateway
from tests.support.loop import LoopThread
from tests.support.upstream import Upstream

DIALECTS = {"openai": "/v1", "anthropic": "/", "ollama": "/"}
KEY = "sk-the-callers-own"
UPSTREAM_KEY = "sk-the-providers"


@dataclass(frozen=True)
class Entry:
    """Where an SDK goes: base addresses and model names of the demo provider and of the scripted upstream."""

    demo: str
    scripted: str
    demo_model: str
    model: str
    gateway: Gateway | None

    @property
    def through_gateway(self) -> bool:
        return self.gateway is not None


@pytest.fixture(scope="session")
def module_upstream(loop: LoopThread) -> Iterator[Upstream]:
    """All modules here have the same one, as they have the gateway before it."""
    with Upstream(loop) as upstream:
        yield upstream


@pytest.fixture(scope="session")
def entry(demo: RunningDemo, module_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entry]:
    if os.environ.get("PENSTOCK_TEST_DIRECT") == "1":
        yield Entry(demo.root, module_upstream.root, "demo-1", "m", None)
        return
    config = {
        "providers": {
            "demo": {"base_url": demo.root, "dialects": DIALECTS},
            "scripted": {"base_url": module_upstream.root, "dialects": DIALECTS, "api_key": UPSTREAM_KEY},
        },
        "models": {
            "demo": {"targets": [{"provider": "demo", "model": "demo-1"}]},
            "demo-*": {"targets": [{"provider": "demo"}]},
            "m": {"targets": [{"provider": "scripted"}]},
            "org/m": {"targets": [{"provider": "scripted", "model": "m"}]},
        },
        "default_provider": "scripted",
    }
    with ExitStack() as stack:
        gateway = stack.enter_context(Gateway(tmp_path_factory.mktemp("gateway"), config))
        yield Entry(gateway.root, gateway.root, "demo", "m", gateway)
