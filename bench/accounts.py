"""What accounting comes to beside requests: the journal on its disk, counted tokens, how soon a record is seen."""

import functools
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import quantiles
from typing import IO

from bench import machine
from bench.kernels.tokens import best
from bench.load import Mock
from bench.machine import ROOT, BenchError
from bench.rows import Driver, Options, Table
from bench.sides import Governed, Keyed, Shipping
from penstock.tokens import count
from tests.support import texts, tiktoken_oracle

JOURNAL = {"journal_records", "journal_push"}
TOKENS = {"tokens"}
TAIL = {"tail_p50", "tail_p99"}
SHIPPED = {"shipping", "shipping_cpu"}
# By the names of what budgets.toml judges.
IN_JOURNAL, COUNTER, TIKTOKEN = "journal", "penstock_tokens", "tiktoken"
GOVERNED, SHIPPING = "penstock_governed", "penstock_shipping"
ENCODINGS = ("o200k_base", "cl100k_base")
TAIL_RATE = 500
# The fastest of so many counts is one round's value.
ROUNDS = 3
# Until the last record of a round must have been seen.
SEEN_LIMIT_S = 5.0
JOURNAL_LIMIT_S = 60.0
SHIPPED_LIMIT_S = 60.0
SHIPPED_LOOK_S = 0.02
# A round takes seconds and its figure hardly differs: fewer of them are enough.
SHIPPING_ROUNDS = 2
_MEASURED = re.compile(r"^Group, (\d) thread\(s\): (\d+) records/s, \d+ MB/s, (\d+) ns a push$", re.MULTILINE)


def journal(rounds: int, at: Path, table: Table) -> None:
    """Records a second in `group`, fsync by fsync on the disk of `at`, and what one costs the thread of its request."""
    try:
        program = _example("journal_measure")
        for _ in range(rounds):
            command = [str(program), str(at), "group"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=JOURNAL_LIMIT_S, check=False)
            found = _MEASURED.findall(done.stdout)
            if done.returncode != 0 or not found:
                raise BenchError(f"journal_measure: {done.stderr.strip() or done.stdout.strip()}")
            for threads, records, ns in found:
                variant = f"{threads} thread{'s' if threads != '1' else ''}"
                table.add("journal_records", variant, IN_JOURNAL, float(records))
                table.add("journal_push", variant, IN_JOURNAL, int(ns) / 1000)
    except (BenchError, subprocess.SubprocessError) as error:
        table.void(JOURNAL, error)


def tokens(rounds: int, table: Table) -> None:
    """Prose counted by one thread, beside tiktoken's own code with the same vocabulary."""
    prose = next(text for kind, text in texts.corpus() if kind == "prose")
    data = prose.encode()
    for name in ENCODINGS:
        oracle = tiktoken_oracle.encoding(name)
        for _ in range(rounds):
            ours, counted = best(functools.partial(count, data, name), ROUNDS)
            theirs, listed = best(functools.partial(oracle.encode_ordinary, prose), ROUNDS)
            if counted != len(listed):
                table.row("tokens", name).void = f"{counted} tokens, tiktoken says {len(listed)}"
                return
            table.add("tokens", name, COUNTER, len(data) / ours / 1e6)
            table.add("tokens", name, TIKTOKEN, len(data) / theirs / 1e6)


def tail(rounds: int, seconds: float, drive: Driver, mock: Mock, at: Path, table: Table) -> None:
    """From the end of a request to its line in `penstock audit tail`, with 500 a second."""
    side = Governed(GOVERNED, mock, at / "tail")
    try:
        side.start()
        side.rest()
        with _tail(side) as pipe:
            lags: list[float] = []
            reader = threading.Thread(target=_note_lags, args=(pipe, lags), daemon=True)
            reader.start()
            for _ in range(rounds):
                before = len(lags)
                drive("open", _toward(side) | {"rate": str(TAIL_RATE), "seconds": str(seconds)})
                _wait(lags, before + round(0.9 * TAIL_RATE * seconds))
                cuts = quantiles(lags[before:], n=100)
                table.add("tail_p50", "", GOVERNED, cuts[49])
                table.add("tail_p99", "", GOVERNED, cuts[98])
    except BenchError as error:
        table.void(TAIL, error)
    finally:
        side.stop()


def shipping(rounds: int, seconds: float, drive: Driver, mock: Mock, at: Path, table: Table) -> None:
    """What a journal of a life before has, shipped by a gateway that does nothing else: records a second into a
    PostgreSQL beside it, and what each costs the gateway.
    """
    for number in range(min(rounds, SHIPPING_ROUNDS)):
        side = Shipping(SHIPPING, mock, at / f"shipping-{number}")
        try:
            side.ship = "false"
            side.start()
            drive("closed", _toward(side) | {"connections": "32", "seconds": str(seconds)})
            wanted = side.metrics().value("penstock_journal_records_total")
            side.halt()
            side.ship = "true"
            side.start()
            rate, cost_us = _shipped(side, wanted)
            table.add("shipping", "", SHIPPING, rate)
            table.add("shipping_cpu", "", SHIPPING, cost_us)
        except BenchError as error:
            table.void(SHIPPED, error)
        finally:
            side.stop()


def _shipped(side: Shipping, wanted: float) -> tuple[float, float]:
    """Records a second and µs of CPU each, from the first look at which some were in the store to the last one."""
    deadline = time.monotonic() + SHIPPED_LIMIT_S
    first: tuple[float, float, int] | None = None
    while True:
        done, now, cpu_ns = _shipped_now(side), time.monotonic(), machine.cpu_ns(side.pids())
        if done and first is None:
            first = done, now, cpu_ns
        if first is not None and done >= wanted and done > first[0]:
            records = done - first[0]
            return records / (now - first[1]), (cpu_ns - first[2]) / 1000 / records
        if now > deadline:
            raise BenchError(f"{done:.0f} of {wanted:.0f} records were shipped in {SHIPPED_LIMIT_S:.0f} s")
        time.sleep(SHIPPED_LOOK_S)


def _shipped_now(side: Shipping) -> float:
    return side.metrics().value("penstock_shipped_records_total")


def _example(name: str) -> Path:
    """A release build of one of native's examples."""
    command = ["cargo", "build", "--quiet", "--release", "--locked", "--package", "penstock-core", "--example", name]
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        raise BenchError(f"the example {name} does not build")
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "examples" / name


@contextmanager
def _tail(side: Governed) -> Iterator[IO[str]]:
    """What `penstock audit tail` prints from now on; it looks already when this is entered."""
    command = [sys.executable, "-m", "penstock", "audit", "tail", "--json", "--lines", "1", "-c", side.configured()]
    process = subprocess.Popen(command, cwd=side.directory, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        # The record of the side's first answer.
        if not process.stdout.readline():
            raise BenchError("penstock audit tail shows nothing")
        yield process.stdout
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _note_lags(pipe: IO[str], lags: list[float]) -> None:
    """Milliseconds from the end of each request to its line."""
    for line in pipe:
        seen = time.time()
        record = json.loads(line)
        ended = datetime.fromisoformat(record["started"]).timestamp() + record["phases"]["total_us"] / 1e6
        lags.append((seen - ended) * 1e3)


def _wait(lags: list[float], wanted: int) -> None:
    deadline = time.monotonic() + SEEN_LIMIT_S
    while len(lags) < wanted:
        if time.monotonic() > deadline:
            raise BenchError(f"penstock audit tail showed {len(lags)} of {wanted} records")
        time.sleep(0.05)


def _toward(side: Keyed) -> Options:
    return {"target": side.plain, "key": side.key, "pids": ",".join(map(str, side.pids()))}
