"""Keys and teams that have opted out of texts in records: by a wish, by a patch, and as native hears of it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from penstock.keys.public import recorded
from penstock.keys.rows import KeptKey, batch_of, keep
from penstock.keys.service import Ledger
from penstock.keys.wishes import KeyPatch, NewKey, NewTeam, TeamPatch
from tests.unit.keys.scene import Scene, foreign, team


@pytest.fixture
async def ledger(node: Callable[..., Scene]) -> Ledger:
    scene = node()
    await scene.start()
    return scene.desk.ledger


async def test_who_opts_out_does_so_until_somebody_takes_it_back(ledger: Ledger) -> None:
    usual = (await ledger.create_key(NewKey(name="one"), "ops")).key
    out = (await ledger.create_key(NewKey(name="two", content=False), "ops")).key
    assert (usual.content, out.content) == (True, False)
    assert not (await ledger.change_key(usual.id, KeyPatch(content=False), "ops")).content
    assert not (await ledger.change_key(out.id, KeyPatch(name="three"), "ops")).content
    assert (await ledger.change_key(out.id, KeyPatch(content=True), "ops")).content
    lab = await ledger.create_team(NewTeam(name="lab", content=False), "ops")
    assert not lab.content
    assert (await ledger.change_team(lab.id, TeamPatch(content=True), "ops")).content
    (change, *_) = await ledger.store.changes(out.id, None, 1)
    assert change.before is not None
    assert change.after is not None
    assert (change.before["content"], change.after["content"]) == (False, True)


def test_native_hears_of_it_and_what_is_kept_remembers_it() -> None:
    rows = [keep(each) for each in (foreign("a" * 20, content=False), foreign("b" * 20), team("t1", content=False))]
    batch = batch_of(rows)
    assert [row.content for row in batch.keys] == [False, True]
    assert [row.content for row in batch.teams] == [False]
    kept = msgspec.json.decode(msgspec.json.encode(rows[0]), type=KeptKey)
    assert kept == rows[0]
    shown = recorded(team("t1", content=False))
    assert shown is not None
    assert shown["content"] is False
