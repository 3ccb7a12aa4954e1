"""Records in sinks of running gateways: files, standard output, lives that follow or overlap."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.support import raw
from tests.support.audit import query
from tests.support.gateway import Gateway
from tests.support.kinds import CHAT
from tests.support.scene import ask, config_of
from tests.support.script import answer
from tests.support.upstream import Upstream
from tests.support.wait import until


def config(upstream: Upstream, *sinks: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return config_of(upstream, audit={"sinks": list(sinks)}, **changes)


def lines(*files: Path) -> list[dict[str, Any]]:
    """The objects in these files; fails on a line that is none."""
    found = b"".join(file.read_bytes() for file in files if file.exists())
    assert not found or found.endswith(b"\n")
    return [json.loads(line) for line in found.splitlines()]


def whole_lines(file: Path) -> int:
    """How many whole lines there are: the last one may be on its way."""
    return file.read_bytes().count(b"\n") if file.exists() else 0


def place(record: dict[str, Any]) -> tuple[str, int]:
    return record["instance"], record["sequence"]


def test_a_file_gets_what_query_prints_over_a_kill_and_a_stop(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    file = tmp_path / "audit.jsonl"
    gateway = Gateway(tmp_path, config(upstream, {"type": "jsonl", "path": str(file)}))
    for number in range(3):
        gateway.start()
        for _ in range(20):
            assert ask(gateway, CHAT, False).status == 200
        if number == 1:
            until(lambda: len(query(gateway.data_dir)) == 40, "all are on disk")
            gateway.kill()
        else:
            gateway.stop()
    found, expected = lines(file), query(gateway.data_dir)
    assert len(expected) == 60
    assert sorted(found, key=place) == sorted(expected, key=place)  # processes of one second come in any order


def test_a_file_is_rotated_and_metrics_tell_of_it(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    file = tmp_path / "audit.jsonl"
    settings = {"path": str(file), "max_bytes": "1MiB", "keep": 9}
    with Gateway(tmp_path, config(upstream, settings)) as gateway:
        with raw.Client(gateway.address) as client:
            body = json.dumps(CHAT.request("m", False)).encode()
            for _ in range(2_000):
                client.send(raw.request("POST", CHAT.path, body))
                assert client.read().status == 200
        label = f"jsonl:{file}"
        until(lambda: gateway.metrics().value("penstock_sink_records_total", sink=label) == 2_000, "it has all")
        assert gateway.metrics().value("penstock_sink_skipped_records_total", sink=label) == 0
        assert "penstock_sink_lag_seconds" in gateway.metrics().names()
    older = sorted(tmp_path.glob("audit.jsonl.*"))
    assert older
    assert all(each.stat().st_size <= 1 << 20 for each in (file, *older))
    assert len({each["number"] for each in lines(*older, file)}) == 2_000


def test_standard_output_gets_lines_that_logs_do_not_break(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    with Gateway(tmp_path, config(upstream, {"path": "-"})) as gateway:
        for _ in range(50):
            assert ask(gateway, CHAT, False).status == 200
    written = gateway.log_records()  # both descriptors are one file
    assert len([line for line in written if "started" in line and "sequence" in line]) == 50
    assert len([line for line in written if "ts" in line]) > 50
    assert len(gateway.log().splitlines()) == len(written)


def test_two_processes_on_one_data_dir_write_one_file(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    file = tmp_path / "audit.jsonl"
    settings = config(upstream, {"path": str(file)}, data_dir=str(tmp_path / "data"))
    (tmp_path / "other").mkdir()
    first, second = Gateway(tmp_path, settings), Gateway(tmp_path / "other", settings)
    with ExitStack() as ends:
        for gateway in (first, second):
            ends.callback(gateway.kill)
        first.start()
        until(lambda: list(tmp_path.glob("data/sinks/*/position.json")), "the sink has begun")
        second.start()
        for gateway in (first, second):
            for _ in range(10):
                assert ask(gateway, CHAT, False).status == 200
        until(lambda: whole_lines(file) == 20, "one of them writes the records of both")
        first.stop()
        for _ in range(10):
            assert ask(second, CHAT, False).status == 200
        until(lambda: whole_lines(file) == 30, "the other goes on")
        second.stop()
    counted = Counter((each["instance"], each["sequence"]) for each in lines(file))
    assert set(counted.values()) == {1}


def test_a_sink_that_cannot_be_written_costs_nobody_anything(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    place = tmp_path / "out"
    place.mkdir()
    bad, good = place / "bad.jsonl", tmp_path / "good.jsonl"
    with Gateway(tmp_path, config(upstream, {"path": str(bad)}, {"path": str(good)})) as gateway:
        place.rmdir()
        assert ask(gateway, CHAT, False).status == 200
        until(lambda: whole_lines(good) == 1, "the other has it")
        until(lambda: gateway.metrics().value("penstock_sink_failures_total", sink=f"jsonl:{bad}") > 0, "it is counted")
        reasons = [f"the sink jsonl:{bad} does not take records"]
        until(lambda: raw.get(gateway.address, "/health/ready").json().get("reasons") == reasons, "it is told", 20.0)
        assert raw.get(gateway.address, "/health/ready").status == 200
        place.mkdir()
        until(lambda: whole_lines(bad) == 1, "it is given after all", 20.0)
        until(lambda: raw.get(gateway.address, "/health/ready").json() == {"status": "ready"}, "all is well")


def test_a_reader_of_standard_output_that_stalls_stops_nothing(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    fifo = tmp_path / "penstock.log"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    gateway = Gateway(tmp_path, config(upstream, {"path": "-"}, log={"level": "warning"}))
    gateway.checked = False
    try:
        gateway.start()
        for _ in range(300):
            assert ask(gateway, CHAT, False).status == 200
        until(lambda: len(query(gateway.data_dir)) == 300, "all are recorded")
        gateway.signal(signal.SIGTERM)
        began = time.monotonic()
        assert gateway.wait() == 0
        assert time.monotonic() - began < 5
    finally:
        gateway.kill()
        os.close(reader)
