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
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
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
    RECORD,
    Ask,
    Stored,
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
SIGNS = (
    "SELECT sum(sequence) FROM penstock_shipped",
    "SELECT max(started_us) FROM penstock_records WHERE outcome IS NOT NULL",
)
"""What moves with each batch that the store takes."""
MOVES_S = 3
"""Longer than from one batch to the next."""

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

    def moves(self, sign: str) -> None:
        """Returns as soon as it has taken something, by this query, or after a while."""


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

    def moves(self, sign: str) -> None:
        with closing(sqlite3.connect(self._file, timeout=20.0)) as database:
            before, until = database.execute(sign).fetchone(), time.monotonic() + MOVES_S
            while database.execute(sign).fetchone() == before and time.monotonic() < until:
                time.sleep(0.0005)


class InPostgres:
    """A server of its own, killed and started again."""

    hexed = "encode({}, 'hex')"

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self._database = database = server.create()
        self.url, self.ask = server.url(database), in_postgres(server, database)
        self._is_dead = False

    def hurt(self) -> None:
        self._server.kill()
        self._is_dead = True

    def heal(self) -> None:
        if self._is_dead:
            self._server.start()
            self._is_dead = False

    def moves(self, sign: str) -> None:
        if not self._is_dead:
            is_same = f"({sign}) IS NOT DISTINCT FROM before AND clock_timestamp() < now() + interval '{MOVES_S} s'"
            waits = f"WHILE {is_same} LOOP PERFORM pg_sleep(0.0005); END LOOP"
            self._server.sql(f"DO $$ DECLARE before numeric := ({sign}); BEGIN {waits}; END $$", self._database)


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

    def faults(self, rows: Sequence[Stored]) -> list[str]:
        """What is lost, doubled, invented or changed in a store."""
        recorded = Counter(row.request_id for row in requests(rows))
        unanswered = set(recorded) - self.answered
        return [
            *(f"{id}: {count} times" for id, count in recorded.items() if count > 1),
            *(f"{id}: lost" for id in self.safe - set(recorded)),
            *(f"{id}: invented" for id in set(recorded) - self.sent),
            # Recorded, and killed before the answer was out.
            *(f"{id}: never answered" for id in unanswered if len(unanswered) > self.lives * CLIENTS),
            *chain_faults(rows),
            *stream_faults(rows),
        ]


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
        if chance.random() < 0.5:
            # It dies between one thing that the store is told and the next, if there is such a moment.
            base.moves(chance.choice(SIGNS))
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
    outcomes = Counter(row.outcome for row in requests(rows))
    print(f"{len(rows)} rows, {dict(outcomes)}, {len(model.answered)} answered, {len(model.safe)} safe")
    assert model.faults(rows) == []
    assert sum_faults(base.ask) == []
    assert watermark_faults(base.ask, rows, base.hexed) == []
    given = [json.loads(line) for line in sink.read_bytes().splitlines()]
    recorded = {row.request_id for row in requests(rows)}
    assert {each.get("request_id") for each in given} == recorded, "a sink has each at least once"
    verified = run("audit", "verify", "-c", str(last.config_file))
    assert verified.returncode == 0, verified.stdout + verified.stderr
    sees_faults(model, rows, chance)


def sees_faults(model: Model, rows: list[Stored], chance: random.Random) -> None:
    """The same measure finds one record of these that is lost, doubled or invented."""
    one = chance.choice([row for row in rows if row.request_id in model.safe and row.kind == RECORD])
    assert f"{one.request_id}: lost" in model.faults([row for row in rows if row is not one])
    assert f"{one.request_id}: 2 times" in model.faults([*rows, one._replace(instance="~", sequence=1)])
    assert "none: invented" in model.faults([*rows, one._replace(instance="~", sequence=1, request_id="none")])


def _is_shipped(base: Base, data_dir: Path) -> bool:
    """Whether the store has all of what processes that are gone have left."""
    ended = {str(instance) for (instance,) in base.ask("SELECT instance FROM penstock_shipped WHERE ended = 1")}
    left = {os.path.basename(path) for path in instances(str(data_dir))}
    return left - set(live_instances(str(data_dir))) <= ended
