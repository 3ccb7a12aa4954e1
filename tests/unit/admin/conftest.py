"""An admin API over a store in memory, asked as native asks it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from penstock.admin.callers import Callers
from penstock.admin.gate import Gate
from penstock.admin.router import Router
from penstock.admin.routes import table
from penstock.audit.asked import Asked
from penstock.config.model import AllLimits
from penstock.config.problem import ConfigError, Mark, Problem
from penstock.config.tokens import Known
from penstock.keys.argon2id import Cost
from penstock.keys.hashing import Hasher
from penstock.keys.model import AdminToken, Row
from penstock.keys.service import Ledger
from penstock.limits.script import AwayError
from penstock.observe.logs import Log
from tests.unit.fake_asking import FakeAsking
from tests.unit.fake_store import FakeStore

TOKEN = "pen-admin-0123456789"
VIEWER = "viewer-token-0123456789"
CHEAP = Cost(8, 1, 1)
"""A hash that costs next to nothing."""


class FakeProcess:
    """A process whose configuration is wrong on demand."""

    def __init__(self) -> None:
        self.reloads = 0
        self.wrong = False
        self.counted: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.limits_away = False
        self.fails = ""

    def limits_use(self, scope: str, name: str) -> bytes:
        return msgspec.json.encode(self.counted.get((scope, name), []))

    async def limits_reset(self, scope: str, name: str) -> bool:
        if self.fails:
            raise AwayError(self.fails)
        return self.counted.pop((scope, name), None) is not None

    def status(self) -> dict[str, object]:
        return {"version": "1"}

    def reload(self) -> list[str]:
        if self.wrong:
            raise ConfigError([Problem(Mark("f.yaml", 3, 4), ("listen", 0), "is bad", "do better")])
        self.reloads += 1
        return ["listen changes with the next restart"]


class Answered:
    """Status, headers and the decoded body."""

    def __init__(self, payload: bytes) -> None:
        head, _, body = payload.partition(b"\n")
        decoded = msgspec.json.decode(head)
        self.status: int = decoded["status"]
        self.headers: dict[str, str] = dict(decoded["headers"])
        self.text = body.decode()
        self.json: Any = msgspec.json.decode(body) if body else None

    def __repr__(self) -> str:
        return f"Answered({self.status}, {self.text})"

    @property
    def faults(self) -> list[tuple[str, str]]:
        """The field and message of each problem."""
        return [(each["field"], each["message"]) for each in self.json["errors"]]


class FakeNames:
    """Every model is known but `nothing`."""

    def problem(self, pattern: str, hint: bool = True) -> str | None:
        return "leads to no model" if pattern == "nothing" else None


class Api:
    """The gate with everything behind it; only the store is not a real one."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.hasher = Hasher(CHEAP, floor=CHEAP)
        self.ledger = Ledger(self.store, self._publish, FakeNames(), self.hasher)
        self.process = FakeProcess()
        self.lines: list[bytes] = []
        self.published: list[Row] = []
        known = Known("ops", "viewer", hashlib.sha256(VIEWER.encode()).hexdigest())
        self.callers = Callers(TOKEN, [known], self._stored)
        self.configured = AllLimits()
        self.records = FakeAsking()
        self.asked = Asked(self.records, "/nowhere")
        self.table = table(self.process, self.ledger, lambda: self.configured, self.asked)
        self.gate = Gate(self.callers, Router(self.table, Log(write=self.lines.append)))

    async def _publish(self, rows: Sequence[Row]) -> None:
        self.published += rows

    def _stored(self) -> dict[str, AdminToken]:
        return {token.digest: token for token in self.store.rows(AdminToken).values()}

    async def ask(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        token: str | None = TOKEN,
        raw: bytes | None = None,
        kind: str = "application/json",
    ) -> Answered:
        headers = [] if token is None else [["Authorization", f"Bearer {token}"]]
        content = raw if raw is not None else b"" if body is None else msgspec.json.encode(body)
        if content and kind:
            headers.append(["Content-Type", kind])
        url = urlsplit(f"http://h{target}")
        line = {"method": method, "path": url.path, "query": url.query, "headers": headers}
        return Answered(await self.gate(msgspec.json.encode(line) + b"\n" + content))


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    made = Api()
    await made.store.open(migrate=True)
    yield made
    made.hasher.close()
