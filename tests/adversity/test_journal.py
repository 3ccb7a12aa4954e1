"""Records when the process is killed, the disk is full or may not be written."""

import json
import os
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from tests.support import raw
from tests.support.audit import query, verified
from tests.support.gateway import Gateway
from tests.support.kinds import CHAT
from tests.support.scene import ask, config_of
from tests.support.script import answer
from tests.support.upstream import Upstream
from tests.support.wait import until

ROUNDS = int(os.environ.get("ROUNDS", "20")) // 5 or 1
CLIENTS = 6
PREEMPTED_S = 0.1
"""In `group` a record is made after its answer: between the two a thread may have to wait for a busy machine."""


def load(address: str, prefix: str, answered: dict[str, float]) -> None:
    """Asks until the gateway is gone; notes the requests of which the whole answer came, and when."""
    try:
        with raw.Client(address) as client:
            for number in range(1_000_000):
                body = json.dumps(CHAT.request("m", False)).encode()
                client.send(raw.request("POST", CHAT.path, body, {"x-request-id": f"{prefix}-{number}"}))
                if client.read().status == 200:
                    answered[f"{prefix}-{number}"] = time.monotonic()
    except (raw.Closed, OSError):
        return


def _has(answered: dict[str, float], enough: int) -> bool:
    return len(answered) > enough


def _in_the_way(gateway: Gateway) -> Path:
    """A directory where the first segment is to be: nothing can be written while it is there."""
    gateway.checked = False  # an error stands in the log, as it should
    (instance,) = (gateway.data_dir / "journal").iterdir()
    segment = instance / "0000000001.segment"
    segment.mkdir()
    return segment


@pytest.mark.parametrize("durability", ["flush", "group"])
def test_after_kill_9_every_answer_is_recorded_once_and_none_is_invented(
    upstream: Upstream, tmp_path: Path, durability: str
) -> None:
    upstream.always(answer(CHAT.whole))
    gateway = Gateway(tmp_path, config_of(upstream, journal={"durability": durability}))
    every: set[str] = set()
    safe: set[str] = set()
    for number in range(ROUNDS):
        answered: dict[str, float] = {}
        gateway.start()
        threads = [
            threading.Thread(target=load, args=(gateway.address, f"{number}-{client}", answered))
            for client in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        until(partial(_has, answered, 200), "some answers", 20.0)
        # What is older than the oldest entry that waits is on disk.
        asked = time.monotonic()
        kept_until = asked - gateway.metrics().value("penstock_journal_lag_seconds") - PREEMPTED_S
        gateway.kill()
        for thread in threads:
            thread.join()
        every |= set(answered)
        safe |= {id for id, at in answered.items() if durability == "flush" or at < kept_until}
    found = Counter(row["request_id"] for row in query(gateway.data_dir))
    assert [id for id, count in found.items() if count > 1] == []
    assert safe - set(found) == set()
    invented = set(found) - every
    assert len(invented) <= ROUNDS * CLIENTS, "recorded, and killed before the answer was out"
    reports = verified(gateway.data_dir)
    # In `group` all of a round may come within its first five milliseconds.
    assert len(reports) == ROUNDS or durability == "group"
    assert all(report["lost"] == 0 for report in reports)


def test_a_full_journal_that_may_not_lose_records_refuses_requests(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    config = config_of(upstream, journal={"when_full": "shed", "max_bytes": "1MiB"})
    with Gateway(tmp_path, config) as gateway:
        gateway.checked = False  # an error stands in the log, as it should
        with raw.Client(gateway.address) as client:
            body = json.dumps(CHAT.request("m", False)).encode()
            served = 0
            client.send(raw.request("POST", CHAT.path, body))
            while (found := client.read()).status == 200:
                served += 1
                client.send(raw.request("POST", CHAT.path, body))
        assert found.status == 503
        assert found.error_code == "journal_full"
        assert found.header("retry-after") == "1"
        ready = raw.get(gateway.admin[0], "/health/ready")
        assert (ready.status, ready.json()["reasons"]) == (200, ["the journal is full"])
        assert gateway.metrics().value("penstock_journal_up") == 0
        assert sum(file.stat().st_size for file in gateway.data_dir.glob("journal/*/*.segment")) <= 1 << 20
    assert len(query(gateway.data_dir)) == served
    verified(gateway.data_dir)
    assert any("requests are refused" in line["message"] for line in gateway.log_records())


def test_a_full_journal_lets_its_oldest_records_go(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    with Gateway(tmp_path, config_of(upstream, journal={"max_bytes": "1MiB"}, audit={"ship": False})) as gateway:
        with raw.Client(gateway.address) as client:
            body = json.dumps(CHAT.request("m", False)).encode()
            for _ in range(5_000):
                client.send(raw.request("POST", CHAT.path, body))
                assert client.read().status == 200
        assert sum(file.stat().st_size for file in gateway.data_dir.glob("journal/*/*.segment")) <= 1 << 20
        assert gateway.metrics().value("penstock_journal_segments_removed_total") > 0
    rows = query(gateway.data_dir)
    assert 1_000 < len(rows) < 5_000
    assert [row["number"] for row in rows] == list(range(5_001 - len(rows), 5_001))
    verified(gateway.data_dir)


def test_a_directory_that_cannot_be_written_is_degraded_and_serves_on(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    with Gateway(tmp_path, config_of(upstream)) as gateway:
        segment = _in_the_way(gateway)
        assert ask(gateway, CHAT, False).status == 200
        degraded = ["the journal cannot be written"]
        until(lambda: raw.get(gateway.address, "/health/ready").json().get("reasons") == degraded, "it is told")
        assert ask(gateway, CHAT, False).status == 200
        segment.rmdir()
        until(lambda: len(query(gateway.data_dir)) == 2, "both are recorded after all")
        assert raw.get(gateway.address, "/health/ready").json() == {"status": "ready"}
        assert gateway.metrics().value("penstock_journal_failures_total") > 0
    assert any("cannot be written" in line["message"] for line in gateway.log_records())
    verified(gateway.data_dir)


def test_a_gateway_that_ends_on_a_disk_that_refuses_says_how_much_is_lost(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    with Gateway(tmp_path, config_of(upstream)) as gateway:
        segment = _in_the_way(gateway)
        for _ in range(3):
            assert ask(gateway, CHAT, False).status == 200
    (line,) = (line for line in gateway.log_records() if "ended without" in line["message"])
    assert (line["level"], line["entries"]) == ("error", 3)
    segment.rmdir()
    assert query(gateway.data_dir) == []
