"""Fixtures that every kind of test shares: the loop thread, the demo provider and scripted upstreams."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.demo import RunningDemo
from tests.support.loop import LoopThread
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import Postgres
from tests.support.redis import Redis
from tests.support.upstream import Upstream

_NEEDS_LIBRARY = ("contract", "integration", "adversity")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What launches the gateway needs the compiled library."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.path.relative_to(here).parts[0] in _NEEDS_LIBRARY:
            item.add_marker(pytest.mark.native)


@pytest.fixture(scope="session", autouse=True)
def _plain_environment() -> Iterator[None]:
    """Settings of the person who runs the tests do not reach the SDKs."""
    changes = pytest.MonkeyPatch()
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "ANTHROPIC_", "OLLAMA_")) or name.upper().endswith("_PROXY"):
            changes.delenv(name)
    yield
    changes.undo()


@pytest.fixture(scope="session")
def loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


@pytest.fixture(scope="session")
def demo(loop: LoopThread) -> Iterator[RunningDemo]:
    with RunningDemo(loop) as running:
        yield running


@pytest.fixture(scope="module")
def module_upstream(loop: LoopThread) -> Iterator[Upstream]:
    """The scripted upstream of a module; tests take `upstream`, which is the same with nothing in it."""
    with Upstream(loop) as upstream:
        yield upstream


@pytest.fixture
def upstream(module_upstream: Upstream) -> Iterator[Upstream]:
    module_upstream.reset()
    yield module_upstream
    module_upstream.reset()


@pytest.fixture(scope="session")
def rounds() -> int:
    """How often rounds are run: `ROUNDS`; 200 is the whole measure, a tenth of it the default."""
    return int(os.environ.get("ROUNDS", "20"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The one PostgreSQL server of a run; tests make databases in it and never end it."""
    with Postgres() as running:
        yield running


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    """The name of an empty database of this test's own."""
    name = postgres.create()
    yield name
    postgres.drop(name)


@pytest.fixture(scope="session")
def pgbouncer(postgres: Postgres) -> Iterator[PgBouncer]:
    with PgBouncer(postgres) as running:
        yield running


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    """The one Redis server of a run."""
    with Redis() as running:
        yield running
