"""The commands over an admin API in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from click.testing import CliRunner, Result

from penstock.admin.callers import Caller
from penstock.admin.message import Request
from penstock.admin.router import Router
from penstock.cli.root import root
from penstock.observe.logs import Log
from tests.unit.admin.conftest import Api

Run = Callable[..., Result]


class ApiTransport:
    """Hands calls to the router of an `Api`, and remembers what was sent."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.sent: list[tuple[str, str, Any]] = []
        self.closed = 0
        self._router = Router(api.table, Log(write=api.lines.append))
        self._runner = asyncio.Runner()
        self._runner.run(api.store.open(migrate=True))

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        self.sent.append((method, path, body))
        url = urlsplit(path)
        content = b"" if body is None else msgspec.json.encode(body)
        request = Request(method=method, path=url.path, query=url.query, body=content)
        answer = self._runner.run(self._router.ask(request, Caller("cli:test", "admin")))
        return answer.status, msgspec.json.decode(answer.body) if answer.body else None

    def close(self) -> None:
        self.closed += 1

    def end(self) -> None:
        """Lets go of what all commands of a test share."""
        self.api.hasher.close()
        self._runner.close()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OLLAMA_HOST", "PENSTOCK_CONFIG"):
        monkeypatch.delenv(name, raising=False)

    def command(*arguments: str, stdin: str | None = None, **environ: str) -> Result:
        return CliRunner().invoke(root, arguments, env=environ, input=stdin)

    return command


@pytest.fixture
def transport(monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiTransport]:
    """What every command of the test talks to."""
    made = ApiTransport(Api())
    monkeypatch.setattr("penstock.cli.admin_client._transport", lambda *_: made)
    yield made
    made.end()
    assert made.closed > 0 or not made.sent
