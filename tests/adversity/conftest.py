"""One gateway a module, in front of a scripted upstream that speaks every dialect."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.gateway import Gateway
from tests.support.scene import config_of
from tests.support.upstream import Upstream


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    """What a module adds to the configuration of its gateway: it defines a fixture of this name."""
    return {}


@pytest.fixture(scope="module")
def gateway(
    module_upstream: Upstream, settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("gateway"), config_of(module_upstream, **settings)) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test the counts of sockets, tasks and buffered bytes are back."""
    running = request.getfixturevalue("gateway") if "gateway" in request.fixturenames else None
    yield
    if isinstance(running, Gateway) and running.alive():
        running.assert_idle()
