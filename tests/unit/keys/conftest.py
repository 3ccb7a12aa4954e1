"""Nodes that end with their test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from penstock.keys.argon2id import Cost
from penstock.keys.feed import Pace
from tests.unit.fake_store import FakeStore
from tests.unit.keys.scene import STILL, TINY, Scene


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Callable[..., Scene]]:
    """Makes nodes: on one store, and each on its own data_dir, unless told otherwise."""
    shared, made = FakeStore(), list[Scene]()

    def make(name: str = "data", store: FakeStore | None = None, pace: Pace = STILL, cost: Cost = TINY) -> Scene:
        (tmp_path / name).mkdir(exist_ok=True)
        made.append(Scene(tmp_path / name, store or shared, pace, cost))
        return made[-1]

    yield make
    for scene in made:
        await scene.stop()
