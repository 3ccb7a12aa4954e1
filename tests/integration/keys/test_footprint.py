"""What keys cost a node that has nothing to do: no module it does not use, and little memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.gateway import Gateway
from tests.support.office import Office, verdict
from tests.support.upstream import Upstream
from tests.support.wait import until

from .conftest import config

BURST = 20
IDLE_KB = 32_000


@pytest.fixture
def quiet(upstream: Upstream, tmp_path: Path) -> Iterator[Gateway]:
    """Which says what it imports; not a word of each request."""
    mine = config(upstream, log={"level": "info", "format": "json"})
    with Gateway(tmp_path, mine, {"PYTHONPROFILEIMPORTTIME": "1"}) as gateway:
        yield gateway


def pss_kb(gateway: Gateway) -> int:
    text = Path(f"/proc/{gateway.pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss: +(\d+) kB", text, re.MULTILINE)
    assert found
    return int(found[1])


def imported(gateway: Gateway) -> set[str]:
    return set(re.findall(r"import time:[^|]*\|[^|]*\| +([\w.]+)", gateway.log()))


def test_who_keeps_keys_in_sqlite_loads_neither_asyncpg_nor_redis(quiet: Gateway) -> None:
    office = Office(quiet)
    assert verdict(quiet, office.make()) == "ok"
    office.call("GET", "/admin/v1/openapi.json")
    names = imported(quiet)
    assert {"aiosqlite", "penstock.keys.desk"} <= names
    roots = {name.split(".")[0] for name in names}
    assert not roots & {"asyncpg", "redis", "prometheus_client", "pydantic", "httpx", "schemathesis", "hypothesis"}


def test_a_keyed_node_is_small_again_after_a_burst_of_verifications(quiet: Gateway) -> None:
    office = Office(quiet)
    keys = [office.make(f"app-{number}") for number in range(BURST)]
    quiet.stop()
    (quiet.data_dir / "digest.key").unlink()  # each is verified anew
    quiet.start()
    before = pss_kb(quiet)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda key: verdict(quiet, key), keys)) == {"ok"}
        assert set(pool.map(lambda key: verdict(quiet, key), keys * 5)) == {"ok"}
    assert quiet.metrics().value("penstock_questions_total", kind="verify") == BURST
    after = until(lambda: (kb := pss_kb(quiet)) <= IDLE_KB and kb, f"at most {IDLE_KB} kB", 10.0, 0.1)
    assert after - before < 6_000
