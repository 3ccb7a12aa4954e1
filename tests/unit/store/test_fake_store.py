"""The store in memory, on which other tests stand, keeps the rules of the real ones."""

from __future__ import annotations

import pytest

from tests.support.store_rules import RULES, Rule
from tests.unit.fake_store import FakeStore


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
async def test_rule(rule: Rule) -> None:
    store = FakeStore()

    async def make() -> FakeStore:
        handle = store.handle()
        await handle.open(migrate=True)
        return handle

    await rule(make)
