"""Every store keeps every rule."""

from __future__ import annotations

import pytest

from tests.support.store_handles import Handles
from tests.support.store_rules import RULES, Rule


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
async def test_rule(rule: Rule, handles: Handles) -> None:
    await rule(handles.make)
