"""A team by what people call it."""

from __future__ import annotations

from penstock.keys.model import Team
from penstock.store.interface import Store


async def find_team(store: Store, given: str) -> Team | None:
    """The team with this id, else the one with this name: an id means one team, whatever others are called."""
    return await store.get(Team, given) or await store.find_team(given)
