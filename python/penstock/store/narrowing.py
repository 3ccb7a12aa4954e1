"""Conditions that asking for records and for sums have in common."""

from __future__ import annotations

from collections.abc import Callable

from penstock.store.database import Flavour, Value

Put = Callable[[Value], str]
"""Takes a value and gives the place that stands for it in the statement."""


def target_is(wanted: str, put: Put, flavour: Flavour) -> str:
    """`provider/model` itself, or any target of a provider."""
    target = f"target{flavour.in_bytes}"
    itself = f"{target} = {put(wanted)}"
    if "/" in wanted:
        return itself
    behind = wanted + chr(ord("/") + 1)
    return f"({itself} OR ({target} >= {put(wanted + '/')} AND {target} < {put(behind)}))"


def between(column: str, bounds: tuple[int, int], put: Put) -> str:
    """Both bounds included."""
    return f"{column} >= {put(bounds[0])} AND {column} <= {put(bounds[1])}"
