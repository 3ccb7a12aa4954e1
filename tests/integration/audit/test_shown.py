"""What the shipper has put into a store is shown, summed and verified as what was requested, on every store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import raw
from tests.support.gateway import Gateway, run
from tests.support.kinds import CHAT
from tests.support.office import Made, Office, use
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import Postgres
from tests.support.scene import config_of
from tests.support.script import Hold, Send, answer, chunk, stream_head
from tests.support.shipped import asked, check_whole, marks, store_of
from tests.support.upstream import Upstream
from tests.support.wait import until

STORES = ["sqlite", *(pytest.param(name, marks=pytest.mark.postgres) for name in ("postgres", "pgbouncer"))]


@pytest.fixture(params=STORES)
def gateway(request: pytest.FixtureRequest, upstream: Upstream, tmp_path: Path) -> Iterator[Gateway]:
    store = "sqlite"
    if request.param != "sqlite":
        behind: Postgres | PgBouncer = request.getfixturevalue(request.param)
        postgres: Postgres = request.getfixturevalue("postgres")
        store = behind.url(postgres.create())
    upstream.always(answer(CHAT.whole))
    config = config_of(upstream, store=store) | {"auth": "keys", "prices": {"m": {"input": 1, "output": 10}}}
    with Gateway(tmp_path, config) as running:
        yield running


def told(gateway: Gateway, path: str) -> Any:
    got = gateway.ask("GET", f"/admin/v1/{path}")
    assert got.status == 200, got.body
    return got.json()


def begin_stream(gateway: Gateway, key: Made, upstream: Upstream) -> raw.Client:
    upstream.always([stream_head(), Send(chunk(CHAT.frames[0])), Hold()])
    client = raw.Client(gateway.address)
    headers = {"authorization": f"Bearer {key.text}"}
    client.send(raw.request("POST", CHAT.path, json.dumps(CHAT.request("m", True)).encode(), headers))
    assert client.read_head().status == 200
    return client


def verified(gateway: Gateway) -> dict[str, Any]:
    done = run("audit", "verify", "--json", "-c", str(gateway.config_file))
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_what_was_shipped_is_shown_summed_and_verified(gateway: Gateway, upstream: Upstream) -> None:
    office = Office(gateway)
    team = office.call("POST", "/admin/v1/teams", {"name": "lab", "tags": {"unit": "7"}}, 201)["id"]
    key = office.make(tags={"env": "prod", "odd": 'a "b"\\'}, team="lab")
    for number in range(5):
        assert use(gateway, key, model="m" if number else 'm-"odd"').status == 200
    assert use(gateway, None).status == 401
    left = begin_stream(gateway, key, upstream)
    until(lambda: len(told(gateway, "records")["items"]) == 6, "six records")
    until(lambda: any(sequence == 7 for sequence, _ in marks(gateway).values()), "all of it is in the store")

    def sums(words: str) -> dict[Any, int]:
        found = told(gateway, f"usage?{words}")["items"]
        return {next(iter(item["by"].values()), None): item["requests"] for item in found}

    assert sums("") == {None: 6}
    assert sums("by=key") == {key.id: 5, None: 1}
    assert sums("by=tag:odd&team=lab") == {'a "b"\\': 5}
    assert sums(f"by=tag:unit&key={key.id}") == {"7": 5}
    assert sums("by=model&per=hour") == {"m": 4, 'm-"odd"': 1, None: 1}
    (one,) = told(gateway, "records?model=m-%22odd%22&tag=env%3Dprod")["items"]
    assert (one["team"], one["tags"], one["client"]) == (
        team,
        {"env": "prod", "odd": 'a "b"\\', "unit": "7"},
        "127.0.0.1",
    )
    spend = raw.get(gateway.address, "/v1/key", {"authorization": f"Bearer {key.text}"}).json()["spend"]
    assert (spend["today"]["requests"], spend["month"]["unpriced"]) == (5, 1)
    (report,) = verified(gateway)["store"]
    assert (report["records"], report["fault"]) == (6, None) or report["records"] == 7
    gateway.kill()
    left.close()
    assert told_broken(gateway) == 1, "it is shown before another process has shipped it"
    gateway.start()
    until(lambda: any(ended for _, ended in marks(gateway).values()), "what the first one left is in the store")
    assert told_broken(gateway) == 1
    found = verified(gateway)
    assert [each["fault"] for each in (*found["store"], *found["journals"])] == [None] * (
        len(found["store"]) + len(found["journals"])
    )
    assert sums("by=key")[key.id] == 7, "with the question what was spent, and the stream"
    assert check_whole(*store_of(gateway)) >= 8


def told_broken(gateway: Gateway) -> int:
    done = run("audit", "query", "--json", "--outcome", "interrupted", "-c", str(gateway.config_file))
    assert done.returncode == 0, done.stderr
    return len(done.stdout.splitlines())


def test_a_change_of_what_was_shipped_is_found(gateway: Gateway) -> None:
    key = Office(gateway).make(tags={"env": "prod"})
    for _ in range(4):
        assert use(gateway, key).status == 200
    gateway.stop()
    assert check_whole(*store_of(gateway)) == 4
    assert verified(gateway)["store"][0]["ended"]
    asked(
        *store_of(gateway), "UPDATE penstock_records SET cost_nanousd = cost_nanousd - 1 WHERE sequence = 3 RETURNING 1"
    )
    done = run("audit", "verify", "-c", str(gateway.config_file))
    assert (done.returncode, "entry 3 was changed: its columns are not what it says" in done.stderr) == (1, True)
