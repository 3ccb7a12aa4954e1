"""A team by its name or its id: the same one, whoever asks."""

from __future__ import annotations

from penstock.keys.teams import find_team
from tests.unit.fake_store import FakeStore
from tests.unit.keys.scene import put, team


async def test_an_id_goes_before_a_name() -> None:
    store = FakeStore()
    await put(store, team("team1", name="research"))
    await put(store, team("team2", name="team1"))
    found = [await find_team(store, given) for given in ("research", "team1", "team2", "none")]
    assert [each and each.id for each in found] == ["team1", "team1", "team2", None]
