"""SIGKILL at any moment loses no acknowledged change: of whoever makes it, and of the server that keeps it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from penstock.keys.model import Key
from penstock.store.interface import Filter, Store
from penstock.store.open import make_store
from tests.support.child import Child
from tests.support.postgres import Postgres

from .conftest import BEHIND_SERVER

SAVER = "tests.support.saver"
PAGE = 100_000
FEW, MANY = 1, 25
"""Between how many acknowledged changes a kill comes."""

Said = dict[str, tuple[int, str | None]]
"""Key → the version that was acknowledged last, and the name; None: deleted."""


@pytest.fixture
def kills(rounds: int) -> int:
    """50 when all rounds are run, 5 in CI."""
    return max(1, rounds // 4)


@pytest.fixture(scope="module")
def durable() -> Iterator[Postgres]:
    """A server that syncs its files and that may be killed."""
    with Postgres(durable=True) as running:
        yield running


@pytest.fixture(params=["sqlite", BEHIND_SERVER[0]])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return "sqlite"
    durable: Postgres = request.getfixturevalue("durable")
    return durable.url(durable.create())


async def test_a_process_that_is_killed_loses_no_acknowledged_change(url: str, tmp_path: Path, kills: int) -> None:
    acknowledged: Said = {}
    for turn in range(kills):
        with Child(SAVER, url, str(tmp_path), f"r{turn}") as child:
            lines = [child.line() for _ in range(random.randint(FEW, MANY))]  # noqa: S311
            lines += child.kill().split("\n")[:-1]  # behind the last line break is half a line
        _hear(acknowledged, lines)
        store = make_store(url, str(tmp_path))
        await store.open(migrate=False)
        try:
            await _check(store, acknowledged)
        finally:
            await store.close()


@pytest.mark.postgres
async def test_a_server_that_is_killed_loses_no_acknowledged_change(
    durable: Postgres, tmp_path: Path, kills: int
) -> None:
    url = durable.url(durable.create())
    acknowledged: Said = {}
    with Child(SAVER, url, str(tmp_path), "saver") as child:
        for _ in range(kills):
            _hear(acknowledged, [child.line() for _ in range(random.randint(FEW, MANY))])  # noqa: S311
            durable.kill()
            durable.start()
        _hear(acknowledged, [child.line() for _ in range(MANY)])  # it found its way back
        _hear(acknowledged, child.kill().split("\n")[:-1])
    store = make_store(url, str(tmp_path))
    await store.open(migrate=False)
    try:
        await _check(store, acknowledged)
    finally:
        await store.close()


def _hear(acknowledged: Said, lines: Iterable[str]) -> None:
    for line in lines:
        id, version, name = json.loads(line)
        assert acknowledged.get(id, (0, ""))[0] < version
        acknowledged[id] = (version, name)


async def _check(store: Store, acknowledged: Said) -> None:
    """What was acknowledged is there or was overtaken by a change in doubt; every change is whole."""
    delta = await store.changed_since(0, PAGE)
    rows = {row.id: row for row in delta.rows}
    assert not delta.more
    for id, (version, name) in acknowledged.items():
        row = rows[id]
        assert row.version >= version
        if row.version == version:
            assert (row.name, row.state) == ((name, "active") if name is not None else ("", "deleted"))
    changes = list(await store.changes(None, None, PAGE))
    assert [change.version for change in changes] == list(range(delta.version, 0, -1))
    newest = {change.subject: change for change in reversed(changes)}
    assert {id: change.version for id, change in newest.items()} == {id: row.version for id, row in rows.items()}
    for row in (await store.list(Key, Filter(), None, PAGE)).rows:
        assert isinstance(row, Key)
        hashes = [secret.hash for secret in row.secrets]
        assert hashes == {"made": ["h1"], "turned": ["h1", "h2"]}[row.name]
