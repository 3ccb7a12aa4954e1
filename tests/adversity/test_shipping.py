"""Each record once in the store, whoever is killed, cut off, full, cloned or put back."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.audit.packer import Packer
from penstock.audit.unshipped import Unshipped
from penstock.engine import open_rows
from penstock.store.interface import StoreError
from penstock.store.open import make_records, make_store
from tests.support import raw
from tests.support.gateway import Gateway
from tests.support.journal import MadeJournal
from tests.support.kinds import CHAT
from tests.support.loop import LoopThread
from tests.support.postgres import Postgres
from tests.support.proxy import CuttingProxy
from tests.support.scene import config_of
from tests.support.script import answer
from tests.support.shipped import asked, check_whole, marks, requests, store_of
from tests.support.upstream import Upstream
from tests.support.wait import until

NOON_US = 20_780 * 86_400_000_000 + 43_200_000_000
DAYS = (20_700, 20_800)
LONG_S = 60.0


@pytest.fixture(scope="module")
def durable() -> Iterator[Postgres]:
    """A server that may be killed."""
    with Postgres(durable=True) as running:
        yield running


def load(address: str, prefix: str, answered: set[str], stop: threading.Event) -> None:
    """Asks until it is told to stop or the gateway is gone; notes whole answers."""
    try:
        with raw.Client(address) as client:
            for number in range(1_000_000):
                if stop.is_set():
                    return
                body = json.dumps(CHAT.request("m", False)).encode()
                client.send(raw.request("POST", CHAT.path, body, {"x-request-id": f"{prefix}-{number}"}))
                if client.read().status == 200:
                    answered.add(f"{prefix}-{number}")
    except (raw.Closed, OSError):
        return


def shipped_ids(gateway: Gateway) -> list[str]:
    return [id for (id,) in asked(*store_of(gateway), "SELECT request_id FROM penstock_records WHERE kind = 1")]


def config(upstream: Upstream, store: str, **more: Any) -> dict[str, Any]:
    upstream.always(answer(CHAT.whole))
    return config_of(upstream, store=store, journal={"durability": "flush"}, **more)


@pytest.mark.postgres
@pytest.mark.timeout(300)
def test_the_database_may_be_killed_under_load(upstream: Upstream, durable: Postgres, tmp_path: Path) -> None:
    answered: set[str] = set()
    stop = threading.Event()
    with Gateway(tmp_path, config(upstream, durable.url(durable.create()))) as gateway:
        clients = [threading.Thread(target=load, args=(gateway.address, f"{n}", answered, stop)) for n in range(2)]
        for client in clients:
            client.start()
        for _ in range(3):
            seen = len(shipped_ids(gateway))
            until(lambda seen=seen: len(shipped_ids(gateway)) > seen, "it goes on", LONG_S)  # type: ignore[misc]
            durable.kill()
            durable.start()
        stop.set()
        for client in clients:
            client.join()
        until(lambda: len(shipped_ids(gateway)) == len(answered), "all that was answered is there", LONG_S)
    assert sorted(shipped_ids(gateway)) == sorted(answered)
    check_whole(*store_of(gateway))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_the_gateway_may_be_killed_under_load(
    kind: str, upstream: Upstream, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = "sqlite"
    if kind == "postgres":
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.url(request.getfixturevalue("database"))
    answered: set[str] = set()
    gateway = Gateway(tmp_path, config(upstream, url))
    for turn in range(4):
        gateway.start()
        stop = threading.Event()
        clients = [
            threading.Thread(target=load, args=(gateway.address, f"{turn}-{n}", answered, stop)) for n in range(2)
        ]
        for client in clients:
            client.start()
        before, wanted = len(answered), random.randint(50, 1_500)  # noqa: S311
        until(lambda before=before, wanted=wanted: len(answered) > before + wanted, "load", LONG_S)  # type: ignore[misc]
        gateway.kill()
        for client in clients:
            client.join()
    with gateway:
        until(lambda: sum(ended for _, ended in marks(gateway).values()) == 4, "all four are shipped", LONG_S)
    found = shipped_ids(gateway)
    assert len(found) == len(set(found)), "one came twice"
    assert answered <= set(found), "one that was answered is missing"
    assert len(found) - len(answered) <= 8, "invented: more than was under way at a kill"
    check_whole(*store_of(gateway))


@pytest.mark.postgres
@pytest.mark.timeout(240)
def test_a_connection_may_be_cut_anywhere(
    loop: LoopThread, postgres: Postgres, database: str, tmp_path: Path, rounds: int
) -> None:
    journal = MadeJournal(tmp_path, "one")
    for number in range(200):
        journal.begin(2 * number, started_us=NOON_US)
        journal.record(2 * number + 1, ended_us=NOON_US)
    with CuttingProxy(loop, "127.0.0.1", postgres.port) as proxy:
        # How much passes for a batch, to cut at places of all of it.
        places = random.sample(range(200, 40_000), max(20, rounds))

        async def ship() -> int:
            store = make_store(postgres.url(database), "")
            await store.open(migrate=True)
            await store.close()
            records = make_records(postgres.url(database, port=proxy.port), store)
            packer = Packer()
            unshipped = Unshipped(str(journal.path), records, packer, open_rows, most_bytes=6_000)
            failures = 0
            while not unshipped.is_done:
                proxy.cut_once, proxy.passed = False, 0
                proxy.cut_after = places.pop() if places else None
                try:
                    if not unshipped.is_known:
                        unshipped.learn((await records.watermarks(["one"])).get("one"))
                    await unshipped.step(DAYS)
                except StoreError:
                    failures += 1
            packer.close()
            await records.close()
            assert unshipped.records == 200
            return failures

        assert asyncio.run(ship()) > 3
    # Streams that never ended are requests too.
    assert check_whole(postgres.url(database), "") == 400


@pytest.mark.postgres
@pytest.mark.timeout(120)
def test_a_database_that_is_full_is_waited_for(
    upstream: Upstream, postgres: Postgres, database: str, tmp_path: Path
) -> None:
    with Gateway(tmp_path, config(upstream, postgres.url(database))) as gateway:
        postgres.sql(
            "CREATE FUNCTION full_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;"
            " CREATE TRIGGER full_up BEFORE INSERT ON penstock_shipped FOR EACH ROW EXECUTE FUNCTION full_up()",
            database,
        )
        answered: set[str] = set()
        stop = threading.Event()
        client = threading.Thread(target=load, args=(gateway.address, "full", answered, stop))
        client.start()
        until(lambda: "records: the store does not take them" in gateway.status()["native"]["degraded"], "said", LONG_S)
        assert gateway.metrics().value("penstock_ship_lag_seconds") > 5
        assert raw.get(gateway.admin[0], "/health/ready").status == 200
        stop.set()
        client.join()
        postgres.sql("DROP TRIGGER full_up ON penstock_shipped", database)
        until(lambda: len(shipped_ids(gateway)) == len(answered), "all is there", LONG_S)
        until(lambda: gateway.status()["native"]["degraded"] == [], "and all is well")
    check_whole(*store_of(gateway))


@pytest.mark.postgres
def test_a_fresh_disk_and_an_old_one_under_the_same_name_double_nothing(
    upstream: Upstream, postgres: Postgres, database: str, tmp_path: Path
) -> None:
    answered: set[str] = set()
    mine = config(upstream, postgres.url(database))

    def run(name: str) -> Gateway:
        with Gateway(tmp_path, mine) as gateway:
            for number in range(50):
                headers = {"x-request-id": f"{name}-{number}"}
                assert raw.post(gateway.address, CHAT.path, CHAT.request("m", False), headers).status == 200
                answered.add(f"{name}-{number}")
        return gateway

    gateway = run("first")
    kept = tmp_path / "kept"
    shutil.copytree(gateway.data_dir, kept)
    run("second")
    shutil.rmtree(gateway.data_dir)
    run("fresh")
    shutil.rmtree(gateway.data_dir)
    shutil.copytree(kept, gateway.data_dir)
    run("put-back")
    assert sorted(shipped_ids(gateway)) == sorted(answered)
    assert check_whole(*store_of(gateway)) == 200
    assert len(marks(gateway)) == 4


@pytest.mark.postgres
@pytest.mark.timeout(120)
def test_while_the_store_is_away_the_journal_keeps_what_it_can(
    upstream: Upstream, durable: Postgres, tmp_path: Path
) -> None:
    given = config(upstream, durable.url(durable.create()))
    given["journal"] = {"max_bytes": "1MiB"}
    with Gateway(tmp_path, given) as gateway:
        gateway.checked = False  # it logs at error that records were dropped
        durable.kill()
        body = json.dumps(CHAT.request("m", False)).encode()
        with raw.Client(gateway.address) as client:
            for _ in range(5_000):
                client.send(raw.request("POST", CHAT.path, body))
                assert client.read().status == 200
        segments = gateway.data_dir.glob("journal/*/*.segment")
        assert sum(file.stat().st_size for file in segments) <= 1 << 20

        def dropped() -> int:
            return int(gateway.metrics().value("penstock_journal_dropped_total"))

        until(lambda: dropped() > 0, "what found no room is counted")
        assert gateway.metrics().value("penstock_journal_segments_removed_total") == 0, "what is there, waits"
        durable.start()
        until(lambda: len(requests(gateway)) + dropped() == 5_000, "all that was kept is there", LONG_S)
        more = 0

        def makes_room() -> bool:  # native hears of what the store has a moment later than we do
            nonlocal more
            more += 1
            assert raw.post(gateway.address, CHAT.path, CHAT.request("m", False)).status == 200
            return gateway.metrics().value("penstock_journal_segments_removed_total") > 0

        until(makes_room, "room was made", interval=0.05)
        lost = dropped()
    assert check_whole(*store_of(gateway)) == 5_000 + more - lost
