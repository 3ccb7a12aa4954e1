"""kill -9 of gateways and of the database at any moment, under load: each answered request is in the store once.

`PENSTOCK_CRASH_ROUNDS` says how many rounds (100 is the whole measure), `PENSTOCK_CRASH_SEED` repeats a run.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest

from penstock.audit.journals import instances, live_instances
from tests.support import raw
from tests.support.gateway import Gateway, run
from tests.support.kinds import CHAT
from tests.support.postgres import Postgres
from tests.support.scene import config_of
from tests.support.script import Script, answer, stream
from tests.support.stored import (
    Ask,
    chain_faults,
    in_postgres,
    in_sqlite,
    requests,
    stored,
    stream_faults,
    sum_faults,
    watermark_faults,
)
from tests.support.upstream import Seen, Upstream
from tests.support.wait import until

ROUNDS = int(os.environ.get("PENSTOCK_CRASH_ROUNDS", "6"))
SEED = int(os.environ.get("PENSTOCK_CRASH_SEED") or random.randrange(1 << 32))  # noqa: S311
CLIENTS = 4
"""Of each gateway."""
PREEMPTED_S = 0.1
"""In `group` a record is made after its answer: between the two a thread may have to wait for a busy machine."""
ANSWERED = (20, 300)
"""Between how many answers a round goes on."""
SETTLED_S = 60.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 + 15 * ROUNDS)]


class Base(Protocol):
    """A database that can be hurt."""

    url: str
    ask: Ask
    hexed: str

    def hurt(self) -> None:
        """It takes nothing from now on."""

    def heal(self) -> None:
        """It does again."""


class InSqlite:
    """A file; it is hurt by whoever keeps it locked."""

    url, hexed = "sqlite", "hex({})"

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / "penstock.sqlite"
        self._held: sqlite3.Connection | None = None
        self.ask = in_sqlite(data_dir)

    def hurt(self) -> None:
        self._held = sqlite3.connect(self._file, timeout=20.0, isolation_level=None)
        self._held.execute("BEGIN IMMEDIATE")

    def heal(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None


class InPostgres:
    """A server of its own, killed and started again."""

    hexed = "encode({}, 'hex')"

    def __init__(self, server: Postgres) -> None:
        self._server = server
        database = server.create()
        self.url, self.ask = server.url(database), in_postgres(server, database)
        self._is_dead = False

    def hurt(self) -> None:
        self._server.kill()
        self._is_dead = True

    def heal(self) -> None:
        if self._is_dead:
            self._server.start()
            self._is_dead = False


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Base]:
    with ExitStack() as held:
        found: Base
        if request.param == "sqlite":
            found = InSqlite(tmp_path / "data")
        else:
            found = InPostgres(held.enter_context(Postgres(durable=True)))
        held.callback(found.heal)
        yield found


@dataclass
class Model:
    """What was asked, and of what the whole answer came; `safe` must be recorded."""

    sent: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    safe: set[str] = field(default_factory=set)
    lives: int = 0


class Load:
    """Clients of one gateway that ask until it is gone, every other time for a stream."""

    def __init__(self, gateway: Gateway, prefix: str, model: Model) -> None:
        self.gateway, self.answered = gateway, dict[str, float]()
        """Request → when the end of its answer came."""
        self.left: list[str] = []
        """Why clients ended."""
        self._model = model
        self._threads = [threading.Thread(target=self._ask, args=(f"{prefix}-{n}",)) for n in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def more(self, least: int) -> None:
        """Goes on until so many more were answered; fails when nobody asks any more."""
        wanted = len(self.answered) + least
        until(lambda: len(self.answered) >= wanted or not self._is_asking(), "some answers", 30.0)
        assert self._is_asking(), f"all clients have left: {self.left}"

    def _is_asking(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _ask(self, prefix: str) -> None:
        try:
            with raw.Client(self.gateway.address) as client:
                for number in range(1_000_000):
                    id = f"{prefix}-{number}"
                    body = json.dumps(CHAT.request("m", bool(number % 2))).encode()
                    self._model.sent.add(id)
                    client.send(raw.request("POST", CHAT.path, body, {"x-request-id": id}))
                    answer = client.read()
                    assert answer.status == 200, answer.body
                    self.answered[id] = time.monotonic()
        except (raw.Closed, OSError, AssertionError) as error:
            self.left.append(repr(error))

    def join(self, safe_until: float) -> None:
        """Once the gateway is gone; what was answered before then must have been recorded."""
        for thread in self._threads:
            thread.join()
        self._model.lives += 1
        self._model.answered |= set(self.answered)
        self._model.safe |= {id for id, at in self.answered.items() if at < safe_until}


def say(seen: Seen) -> Script:
    """An answer at once, or a stream that takes a while."""
    return stream(CHAT.frames, gap=0.002) if seen.json()["stream"] else answer(CHAT.whole)


def crash(base: Base, gateways: list[Gateway], model: Model, chance: random.Random, number: int) -> None:
    """One round: some lives under load that end at any moment, and maybe a database that ends in their midst."""
    durability = chance.choice(("flush", "group"))
    alive = gateways[: chance.choice((1, 1, 2))]
    for gateway in alive:
        gateway.write_config(journal={"durability": durability})
        gateway.start()
    loads = [Load(gateway, f"{number}-{place}", model) for place, gateway in enumerate(alive)]
    loads[0].more(chance.randint(*ANSWERED))
    if chance.random() < 0.6:
        base.hurt()
        loads[0].more(chance.randint(1, ANSWERED[1]))  # the database is not asked for answers
        if chance.random() < 0.5:
            base.heal()
            loads[0].more(chance.randint(1, ANSWERED[1]))
    for load in loads:
        if chance.random() < 0.2:
            load.gateway.stop()
            load.join(time.monotonic())
            continue
        safe_until = time.monotonic()
        if durability == "group":
            # What is older than the oldest entry that waits is on disk.
            safe_until -= load.gateway.metrics().value("penstock_journal_lag_seconds") + PREEMPTED_S
        load.gateway.kill()
        load.join(time.monotonic() if durability == "flush" else safe_until)
    base.heal()


def test_each_answered_request_is_in_the_store_once_whatever_is_killed(
    upstream: Upstream, base: Base, tmp_path: Path
) -> None:
    upstream.answer = say
    chance, model = random.Random(SEED), Model()  # noqa: S311
    print(f"PENSTOCK_CRASH_SEED={SEED}")
    (tmp_path / "other").mkdir()
    data_dir = tmp_path / "data"
    sink = tmp_path / "sink.jsonl"
    more = {"store": base.url, "data_dir": str(data_dir), "audit": {"sinks": [{"path": str(sink)}]}}
    config = config_of(upstream, log={"level": "info"}, **more)
    gateways = [Gateway(place, config) for place in (tmp_path, tmp_path / "other")]
    for gateway in gateways:
        gateway.checked = False  # errors stand in the log, as they should
    for number in range(ROUNDS):
        crash(base, gateways, model, chance, number)
    last = gateways[0]
    last.start()
    until(lambda: _is_shipped(base, data_dir), "all journals of the dead are in the store", SETTLED_S, 0.2)
    last.stop()

    rows = stored(base.ask, base.hexed)
    recorded = Counter(row.request_id for row in requests(rows))
    outcomes = Counter(row.outcome for row in requests(rows))
    print(f"{len(rows)} rows, {dict(outcomes)}, {len(model.answered)} answered, {len(model.safe)} safe")
    assert [id for id, count in recorded.items() if count > 1] == []
    assert model.safe - set(recorded) == set()
    assert set(recorded) - model.sent == set(), "invented"
    unanswered = set(recorded) - model.answered
    assert len(unanswered) <= model.lives * CLIENTS, "recorded, and killed before the answer was out"
    assert chain_faults(rows) == []
    assert stream_faults(rows) == []
    assert sum_faults(base.ask) == []
    assert watermark_faults(base.ask, rows, base.hexed) == []
    given = [json.loads(line) for line in sink.read_bytes().splitlines()]
    assert {each.get("request_id") for each in given} == set(recorded), "a sink has each at least once"
    verified = run("audit", "verify", "-c", str(last.config_file))
    assert verified.returncode == 0, verified.stdout + verified.stderr


def _is_shipped(base: Base, data_dir: Path) -> bool:
    """Whether the store has all of what processes that are gone have left."""
    ended = {str(instance) for (instance,) in base.ask("SELECT instance FROM penstock_shipped WHERE ended = 1")}
    left = {os.path.basename(path) for path in instances(str(data_dir))}
    return left - set(live_instances(str(data_dir))) <= ended
