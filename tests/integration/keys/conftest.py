"""A gateway with keys, and two of them on one store: a file, a database, a database behind pgbouncer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.support.gateway import Gateway
from tests.support.kinds import CHAT, MESSAGES, OLLAMA_CHAT
from tests.support.office import Office
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import Postgres
from tests.support.scene import config_of, provider
from tests.support.script import answer
from tests.support.upstream import Seen, Upstream, steps

BEHIND_SERVER = [pytest.param(name, marks=pytest.mark.postgres) for name in ("postgres", "pgbouncer")]
WHOLE = {kind.path: kind.whole for kind in (CHAT, MESSAGES, OLLAMA_CHAT)}
UPSTREAM_KEY = "sk-the-providers-own"


class Pair(NamedTuple):
    """Two nodes that share a store, each with the administration of it."""

    one: Gateway
    other: Gateway
    office: Office
    """Of the first one."""


def config(upstream: Upstream, **more: Any) -> dict[str, Any]:
    """The usual provider with a key of its own, and `auth: keys`."""
    usual = config_of(upstream, auth="keys")
    usual["providers"] = {"up": provider(upstream.root, api_key=UPSTREAM_KEY)}
    return usual | more


@pytest.fixture(autouse=True)
def _answering(upstream: Upstream) -> None:
    """Whoever is let in gets an answer of its dialect."""

    def whole(seen: Seen) -> Any:
        return steps(answer(WHOLE.get(seen.target.split("?")[0], {"ok": True})))

    upstream.answer = whole


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    """What a module adds to the configuration of its gateway: it defines a fixture of this name."""
    return {}


@pytest.fixture(scope="module")
def gateway(
    module_upstream: Upstream, settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("gateway"), config(module_upstream, **settings)) as running:
        yield running


@pytest.fixture(scope="module")
def office(gateway: Gateway) -> Office:
    return Office(gateway)


@pytest.fixture(scope="module", params=["sqlite", *BEHIND_SERVER])
def pair(
    request: pytest.FixtureRequest, module_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "other")]
    mine = config(module_upstream)
    database = None
    postgres: Postgres | None = None
    if request.param == "sqlite":
        mine["data_dir"] = str(folders[0] / "data")
    else:
        postgres = request.getfixturevalue("postgres")
        behind: Postgres | PgBouncer = request.getfixturevalue(request.param)
        database = postgres.create()
        mine["store"] = behind.url(database)
    with Gateway(folders[0], mine) as one, Gateway(folders[1], mine) as other:
        yield Pair(one, other, Office(one, other))
    if postgres is not None and database is not None:
        postgres.drop(database)
