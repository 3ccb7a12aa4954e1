"""Conditions that asking for records and for sums have in common."""

from __future__ import annotations

from collections.abc import Callable

from penstock.store.database import Value

Put = Callable[[Value], str]
"""Takes a value and gives the place that stands for it in the statement."""


def target_is(wanted: str, put: Put) -> str:
    """`provider/model` itself, or any target of a provider."""
    itself = f"target = {put(wanted)}"
    if "/" in wanted:
        return itself
    return f"({itself} OR substr(target, 1, {len(wanted) + 1}) = {put(wanted + '/')})"


def between(column: str, bounds: tuple[int, int], put: Put) -> str:
    """Both bounds included."""
    return f"{column} >= {put(bounds[0])} AND {column} <= {put(bounds[1])}"
