"""SIGKILL of a gateway at any moment loses no change that its admin API has acknowledged."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Gateway
from tests.support.office import KEYS, Made, Office, verdict
from tests.support.postgres import Postgres
from tests.support.raw import Closed
from tests.support.upstream import Upstream
from tests.support.wait import until

from .conftest import BEHIND_SERVER, config

FEW, MANY = 1, 25
"""Between how many acknowledged changes a kill comes."""


@dataclass
class Said:
    """What the API has acknowledged of a key: its lists, its state, how many secrets; `deleted` when it is gone."""

    key: Made
    now: dict[str, Any]
    in_doubt: bool = False


@dataclass
class Work:
    """Changes keys until the gateway is gone."""

    office: Office
    said: dict[str, Said] = field(default_factory=dict)
    acknowledged: int = 0

    def run(self) -> None:
        try:
            while True:
                self.one()
        except (Closed, OSError):
            return

    def one(self) -> None:
        key = self.office.make("killed", models=["m"])
        said = self.said[key.id] = Said(key, {"state": "active", "models": ["m"], "secrets": 1})
        self.acknowledged += 1
        steps: list[tuple[Callable[[], object], dict[str, Any]]] = [
            (lambda: self.office.change(key, models=["m", "m-*"]), {"models": ["m", "m-*"]}),
            (lambda: self.office.rotate(key, "1h"), {"secrets": 2}),
            (lambda: self.office.disable(key), {"state": "disabled"}),
            (lambda: self.office.delete(key), {"state": "deleted"}),
        ]
        for step, after in steps[: random.randint(0, 4)]:  # noqa: S311
            said.in_doubt = True
            step()
            said.in_doubt = False
            said.now |= after
            self.acknowledged += 1


@pytest.fixture(scope="module")
def durable() -> Iterator[Postgres]:
    with Postgres(durable=True) as running:
        yield running


@pytest.mark.timeout(300)
@pytest.mark.parametrize("store", ["sqlite", BEHIND_SERVER[0]])
def test_no_acknowledged_change_is_lost(
    store: str, request: pytest.FixtureRequest, upstream: Upstream, tmp_path: Path, rounds: int
) -> None:
    mine = config(upstream)
    if store == "postgres":
        server: Postgres = request.getfixturevalue("durable")
        mine["store"] = server.url(server.create())
    with Gateway(tmp_path, mine) as gateway:
        office = Office(gateway)
        work = Work(office)
        for _ in range(max(1, rounds // 4)):
            wanted = work.acknowledged + random.randint(FEW, MANY)  # noqa: S311
            thread = threading.Thread(target=work.run)
            thread.start()
            until(lambda wanted=wanted: work.acknowledged >= wanted, "changes are acknowledged", 20.0, 0.0005)  # type: ignore[misc]
            gateway.kill()
            thread.join(10)
            assert not thread.is_alive()
            gateway.start()
            check(office, work.said)
        last = [each for each in work.said.values() if each.now["state"] == "active" and not each.in_doubt][-5:]
        assert [verdict(gateway, each.key) for each in last] == ["ok"] * len(last)


def check(office: Office, said: dict[str, Said]) -> None:
    """Each key is as it was acknowledged last, or as the one change in doubt would have it; all changes are kept."""
    there: dict[str, dict[str, Any]] = {}
    cursor = ""
    while True:
        page = office.call("GET", f"{KEYS}?limit=1000{cursor}")
        there |= {key["id"]: key for key in page["items"]}
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    for id, each in said.items():
        key = there.get(id)
        shown: dict[str, Any] = {"state": "deleted"}
        if key is not None:
            shown = {"state": key["state"], "models": key["models"], "secrets": len(key["secrets"])}
        if each.now["state"] == "deleted":
            assert key is None, "a deleted key is back"
        elif each.in_doubt:
            differs = [name for name, value in shown.items() if value != each.now[name]]
            assert len(differs) <= 1, (shown, each.now)
        else:
            assert shown == each.now
    changes = office.call("GET", "/admin/v1/changes?limit=1000")["items"]
    versions = [change["version"] for change in changes]
    assert versions == list(range(versions[0], versions[0] - len(versions), -1))
