"""What readiness names as degraded."""

from __future__ import annotations

from penstock.observe.degraded import Degraded


def test_each_part_says_its_own_and_all_of_it_is_told() -> None:
    told: list[list[str]] = []
    degraded = Degraded(told.append)
    keys, limits = degraded.part("keys"), degraded.part("limits")
    limits(["redis"])
    keys(["store"])
    limits([])
    keys([])
    assert told == [["redis"], ["store", "redis"], ["store"], []]
