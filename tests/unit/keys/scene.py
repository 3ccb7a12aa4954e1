"""A desk with a store in memory, a model of native's table, and a clock that stands still."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from penstock.keys.argon2id import Cost
from penstock.keys.desk import Desk
from penstock.keys.feed import Pace
from penstock.keys.hashing import hash_imported
from penstock.keys.model import Change, Key, Row, Secret, Team
from penstock.keys.public import recorded
from penstock.keys.secret import id_of
from penstock.keys.service import forgetting
from penstock.keys.verify import Answer, Question
from penstock.observe.logs import Log
from tests.unit.fake_store import FakeStore
from tests.unit.keys.fake_table import FakeTable, digest_of

TINY = Cost(8, 1, 1)
NOW_US = 1_800_000_000_000_000
FAST = Pace(poll=0.01, quiet=0.01, hurry=0.0, first=1.0, first_with_rows=1.0, longest=0.02)
STILL = Pace(poll=3_600.0, quiet=3_600.0, first=1.0, first_with_rows=1.0, longest=3_600.0)
"""Polls only when a test asks for it, or something wakes it."""


class AnyModel:
    """Knows every model but `nothing`."""

    def problem(self, pattern: str, hint: bool = True) -> str | None:
        return "no model is named so" if pattern == "nothing" else None


class Lines(Log):
    """A log whose lines can be looked at."""

    def __init__(self, level: str = "debug") -> None:
        self.lines: list[dict[str, Any]] = []
        super().__init__(level, "json", self._keep)

    def _keep(self, line: bytes) -> int:
        self.lines.append(msgspec.json.decode(line))
        return len(line)

    def texts(self, level: str | None = None) -> str:
        return "\n".join(str(line["message"]) for line in self.lines if level in (None, line["level"]))


class Scene:
    """One node on a store that several may share."""

    def __init__(self, data_dir: Path, store: FakeStore | None = None, pace: Pace = STILL, cost: Cost = TINY) -> None:
        self.store, self.table, self.log = store or FakeStore(), FakeTable(), Lines()
        self.store._opened = self.store._known = True
        self.reasons: list[list[str]] = []
        self.desk = Desk(
            self.store.handle(), str(data_dir), AnyModel(), self.log,
            cost=cost, floor=TINY, degraded=self.reasons.append, pace=pace,
        )  # fmt: skip
        # As if another node made every key: what is made here needs no verification, which most tests are about.
        self.remembering, self.desk.ledger._remembering = self.desk.ledger._remembering, forgetting

    @property
    def ledger(self) -> Any:
        return self.desk.ledger

    async def start(self) -> None:
        await self.desk.start(self.table)

    async def stop(self) -> None:
        await self.desk.stop()

    async def poll(self) -> None:
        await self.desk._feed.poll()

    async def ask(self, secret: str, client: str | None = "192.0.2.1", id: str | None = None) -> Answer:
        """Native's question about a secret."""
        question = Question(id or id_of(secret), secret, digest_of(secret), client)
        return msgspec.json.decode(await self.desk.verify(msgspec.json.encode(question)), type=Answer)

    def check(self, secret: str) -> str:
        """What native says of a secret without asking."""
        return self.table.check(id_of(secret), digest_of(secret), NOW_US)


async def put(store: FakeStore, row: Row) -> int:
    """Saves a row as another node would."""
    known = store._rows.get((type(row), row.id))
    expected = None if known is None or known.state == "deleted" else known.version
    change = Change(
        id=f"{row.id}-{store._version}", at_us=NOW_US, actor="other", action="test", subject=row.id,
        before=None, after=recorded(row),
    )  # fmt: skip
    store._opened = store._known = True
    return await store.save(row, expected, change)


def foreign(secret: str, **fields: Any) -> Key:
    """A key with a hash that costs nothing to check."""
    hashed = Secret(generation=1, hash=hash_imported(secret.encode()))
    return Key(**{"id": id_of(secret), "name": "a key", "secrets": (hashed,), **fields})


def team(id: str = "team0", **fields: Any) -> Team:
    return Team(**{"id": id, "name": id, **fields})
