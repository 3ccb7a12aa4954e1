"""The store is away: known keys keep working, nobody is refused because of it, and what cannot be told is a 503."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.keys.secret import new_key_text
from tests.support.gateway import Gateway, run
from tests.support.kinds import DIALECTS
from tests.support.loop import LoopThread
from tests.support.office import Office, becomes, use, verdict
from tests.support.postgres import Postgres
from tests.support.proxy import CuttingProxy
from tests.support.raw import get
from tests.support.scene import assert_refused
from tests.support.upstream import Upstream
from tests.support.wait import until

from .conftest import config

pytestmark = pytest.mark.postgres


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server that may be killed."""
    with Postgres() as running:
        yield running


@pytest.fixture
def wire(loop: LoopThread, postgres: Postgres) -> Iterator[CuttingProxy]:
    """The way to the shared server, which can be cut."""
    with CuttingProxy(loop, "127.0.0.1", postgres.port) as proxy:
        yield proxy


def readiness(gateway: Gateway) -> dict[str, Any]:
    answer = get(gateway.address, "/health/ready")
    assert answer.status == 200
    told: dict[str, Any] = answer.json()
    return told


def is_degraded(gateway: Gateway) -> bool:
    return readiness(gateway) == {"status": "degraded", "reasons": ["store"]}


def is_well(gateway: Gateway) -> bool:
    return readiness(gateway) == {"status": "ready"}


def fresh(office: Office) -> str:
    """The text of a key of the store that this gateway has never been shown: made behind its back."""
    beside = office.gateway.directory / "beside.yaml"
    beside.write_text(yaml.safe_dump(office.gateway.config | {"admin": {"listen": "127.0.0.1:9"}}))
    made = run("keys", "create", "--name", "beside", "-c", str(beside))
    assert made.returncode == 0, made.stderr
    office.note(made.stdout.strip())
    return made.stdout.strip()


def assert_later(gateway: Gateway, key: str) -> None:
    """503 with a time to come back, in every dialect."""
    for kind in DIALECTS:
        got = use(gateway, key, kind)
        assert_refused(got, kind, 503, "store_unavailable")
        assert int(got.header("retry-after") or 0) >= 1


def test_a_database_that_is_killed_refuses_nobody_and_comes_back(
    own_postgres: Postgres, upstream: Upstream, tmp_path: Path
) -> None:
    mine = config(upstream, store=own_postgres.url(own_postgres.create()))
    with Gateway(tmp_path, mine) as gateway:
        office = Office(gateway)
        known, disabled = office.make(), office.make()
        assert [verdict(gateway, key) for key in (known, disabled)] == ["ok", "ok"]
        office.disable(disabled)
        unverified = fresh(office)
        until(lambda: gateway.metrics().value("penstock_keys") == 3, "the other key has come", 2.0)
        assert is_well(gateway)
        assert gateway.metrics().value("penstock_keys_current") == 1
        own_postgres.kill()
        until(lambda: is_degraded(gateway), "readiness says so", 5.0)
        assert gateway.metrics().value("penstock_keys_current") == 0
        for _ in range(3):
            assert verdict(gateway, known) == "ok"
            assert verdict(gateway, disabled) == "key_disabled"
            assert_later(gateway, unverified)
            assert_later(gateway, new_key_text().text)
        assert verdict(gateway, "sk-pen-damaged") == "invalid_api_key"
        for method, path, body in (
            ("POST", "/admin/v1/keys", {"name": "new"}),
            ("GET", "/admin/v1/keys", None),
            ("DELETE", f"/admin/v1/keys/{known.id}", None),
        ):
            refused = gateway.ask(method, path, body)
            assert (refused.status, refused.error_code) == (503, "store_unavailable"), refused.body
            assert int(refused.header("retry-after") or 0) >= 1
        assert verdict(gateway, known) == "ok"
        own_postgres.start()
        until(lambda: is_well(gateway), "readiness is well again", 10.0)
        becomes(gateway, unverified, "ok", 5.0)
        assert verdict(gateway, new_key_text().text) == "invalid_api_key"
        office.disable(known)
        assert verdict(gateway, known) == "key_disabled"
        said = [record["message"] for record in gateway.log_records() if "the store is" in record["message"]]
        assert [each.split(":")[0].split(",")[0] for each in said] == ["the store is away", "the store is back"]


def test_a_wire_that_is_cut_hides_no_change_that_was_made_meanwhile(
    wire: CuttingProxy, postgres: Postgres, database: str, upstream: Upstream, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
    near = config(upstream, store=postgres.url(database))
    far = config(upstream, store=postgres.url(database, port=wire.port))
    with Gateway(folders[0], near) as one, Gateway(folders[1], far) as other:
        office = Office(one, other)
        key, gone = office.make(), office.make()
        becomes(other, key, "ok")
        becomes(other, gone, "ok")
        wire.cut()  # by itself no outage: the next connection is good
        late = office.make()
        becomes(other, late, "ok", 3.0)
        wire.refuse = True
        wire.cut()
        until(lambda: is_degraded(other), "the far one says so", 5.0)
        assert is_well(one)
        office.disable(key)
        office.delete(gone)
        new = office.make()
        assert [verdict(other, each) for each in (key, gone, late)] == ["ok", "ok", "ok"]
        assert_later(other, new.text)
        wire.refuse = False
        until(lambda: is_well(other), "the far one is well again", 10.0)
        assert verdict(other, key) == "key_disabled"
        assert verdict(other, gone) == "invalid_api_key"
        assert verdict(other, new) == "ok"


def test_a_start_without_the_store_serves_from_data_dir_and_verifies_nothing(
    wire: CuttingProxy, postgres: Postgres, database: str, upstream: Upstream, tmp_path: Path
) -> None:
    with Gateway(tmp_path, config(upstream, store=postgres.url(database, port=wire.port))) as gateway:
        office = Office(gateway)
        key, disabled = office.make(), office.make()
        assert [verdict(gateway, each) for each in (key, disabled)] == ["ok", "ok"]
        office.disable(disabled)
        gateway.stop()
        wire.refuse = True
        wire.cut()
        gateway.start()
        assert is_degraded(gateway)
        assert verdict(gateway, key) == "ok"
        assert verdict(gateway, disabled) == "key_disabled"
        assert_later(gateway, new_key_text().text)
        assert gateway.metrics().value("penstock_auth_total", result="verified") == 0
        assert "the keys that data_dir has" in gateway.log()
        wire.refuse = False
        until(lambda: is_well(gateway), "it has found the store", 10.0)
        assert verdict(gateway, new_key_text().text) == "invalid_api_key"
        office.enable(disabled)
        assert verdict(gateway, disabled) == "ok"


def test_a_first_start_without_the_store_says_so_answers_503_and_recovers(
    wire: CuttingProxy, postgres: Postgres, database: str, upstream: Upstream, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
    wire.refuse = True
    with Gateway(folders[0], config(upstream, store=postgres.url(database))) as one:
        key = Office(one).make()
        with Gateway(folders[1], config(upstream, store=postgres.url(database, port=wire.port))) as other:
            assert is_degraded(other)
            assert "no key is known yet" in other.log()
            assert "penstock keys create" not in other.log()
            assert_later(other, key.text)
            wire.refuse = False
            until(lambda: is_well(other), "it has found the store", 10.0)
            assert verdict(other, key) == "ok"


def test_a_store_that_says_nothing_is_away_too(own_postgres: Postgres, upstream: Upstream, tmp_path: Path) -> None:
    mine = config(upstream, store=own_postgres.url(own_postgres.create()))
    with Gateway(tmp_path, mine) as gateway:
        key = Office(gateway).make()
        assert verdict(gateway, key) == "ok"
        own_postgres.stall()
        try:
            until(lambda: is_degraded(gateway), "readiness says so", 25.0)
            assert verdict(gateway, key) == "ok"
            assert verdict(gateway, new_key_text().text) == "store_unavailable"
        finally:
            own_postgres.resume()
        until(lambda: is_well(gateway), "readiness is well again", 15.0)
