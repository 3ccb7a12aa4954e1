"""Limits of LiteLLM's keys, teams and deployments, as Penstock writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import ROUND_DOWN, Decimal, InvalidOperation

from penstock.importers.litellm.deployments import Deployment
from penstock.importers.litellm.notes import Notes, printable
from penstock.limits.policy import LARGEST, LONGEST_US, parse_rate

Limits = dict[str, str | int]
"""As `penstock keys import` and the configuration take them."""

KINDS = {"rpm": "requests", "tpm": "tokens", "max_parallel_requests": "concurrent"}
"""A deployment's, and what they become."""
MOST_AT_ONCE = 1_000_000
WHERE = "under limits.models, where it holds for a name and all of its targets"
_UNREAD = "is no number that a limit can have, so there is none: set it afterwards with --limit"
LEFT_OUT = {
    "rpm_limit": _UNREAD,
    "tpm_limit": _UNREAD,
    "max_parallel_requests": _UNREAD,
    "max_budget": _UNREAD,
    "budget_duration": (
        "a budget begins anew after a time of at most 400 days, such as '20 usd/30d'; these have another or none, so "
        "there is no budget: set one afterwards with --limit"
    ),
}
_COLUMNS = (("rpm_limit", "requests"), ("tpm_limit", "tokens"), ("max_parallel_requests", "concurrent"))
_DURATION = re.compile(r"(\d{1,6})\s*(s|m|h|d|w|mo)\Z", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_NANO = Decimal("1e-9")


def of_row(cells: Mapping[str, object]) -> tuple[Limits, list[str]]:
    """Those of a key or a team, and the columns that cannot be carried over: `LEFT_OUT` says why."""
    found: Limits = {}
    wrong: list[str] = []
    for column, kind in _COLUMNS:
        try:
            amount = _number(cells.get(column))
            limit = None if amount is None else _limit(kind, amount)
        except ValueError:
            wrong.append(column)
            continue
        if limit is not None:
            found[kind] = limit
    try:
        amount = _number(cells.get("max_budget"))
    except ValueError:
        return found, [*wrong, "max_budget"]
    if amount is not None:
        try:
            found["budget"] = _budget(amount, cells.get("budget_duration"))
        except ValueError:
            wrong.append("budget_duration")
    return found, wrong


def options(limits: Mapping[str, str | int]) -> list[str]:
    """The same for `--limit`."""
    return [f"{kind}={value}" for kind, value in limits.items()]


def of_models(deployments: Iterable[Deployment], carried: Iterable[str], notes: Notes) -> dict[str, Limits]:
    """Those of names that have one deployment: a limit holds for a name, in LiteLLM for a deployment."""
    known, by_name = set(carried), dict[str, list[Deployment]]()
    for deployment in deployments:
        by_name.setdefault(deployment.name, []).append(deployment)
    found: dict[str, Limits] = {}
    for name, group in by_name.items():
        if len(group) == 1 and name in known:
            limits = _of_deployment(group[0], notes)
            if limits:
                found[name] = limits
            continue
        why = f"{printable(name)} has several targets, and here" if len(group) > 1 else "here"
        for path in dict.fromkeys(path for deployment in group for _, path in deployment.limits_at):
            notes.add(path, f"{why} a limit holds for a name: if that is right, write it {WHERE}")
    return found


def _of_deployment(deployment: Deployment, notes: Notes) -> Limits:
    given = {"rpm": deployment.rpm, "tpm": deployment.tpm, "max_parallel_requests": deployment.parallel}
    found: Limits = {}
    for name, path in deployment.limits_at:
        try:
            if (amount := given[name]) is None:
                raise ValueError(name)
            found[KINDS[name]] = _limit(KINDS[name], amount)
        except ValueError:
            notes.add(path, f"is no number that a limit can have: write it {WHERE}")
    return found


def _limit(kind: str, amount: Decimal) -> str | int:
    """Raises ValueError for more than any limit can be."""
    whole = int(amount)
    if whole > (MOST_AT_ONCE if kind == "concurrent" else LARGEST):
        raise ValueError(kind)
    return whole if kind == "concurrent" else f"{whole}/min"


def _budget(amount: Decimal, duration: object) -> str:
    """`max_budget` in `budget_duration`, which slides here. Raises ValueError."""
    window = _window(duration)
    if window is None or amount >= 10**9:
        raise ValueError(duration)
    written = f"{amount.quantize(_NANO, ROUND_DOWN):f}".rstrip("0").rstrip(".")
    text = f"{written} usd/{window}"
    parse_rate("budget", text)
    return text


def _window(duration: object) -> str | None:
    """How long a budget lasts, as a limit writes it."""
    found = _DURATION.match(duration.strip().lower()) if isinstance(duration, str) else None
    if found is None:
        return None
    count, unit = int(found[1]), found[2]
    if unit == "mo":
        return "month" if count == 1 else f"{count * 30}d"
    seconds = count * _SECONDS[unit]
    if not 0 < seconds * 1_000_000 <= LONGEST_US:
        return None
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds % size == 0 and (name != "d" or seconds > size):
            return f"{seconds // size}{name}"
    return f"{seconds}s"


def _number(cell: object) -> Decimal | None:
    """A number of JSON or of a CSV's text; None for an empty cell. Raises ValueError."""
    if cell is None or cell in ("", "None", "null", "NULL"):
        return None
    if isinstance(cell, bool) or not isinstance(cell, int | float | str) or len(str(cell)) > 40:
        raise ValueError("expected a number")
    try:
        found = Decimal(str(cell).strip())
    except InvalidOperation:
        raise ValueError("expected a number") from None
    if not found.is_finite() or not 0 <= found < 10**18:
        raise ValueError("expected a number from 0 on")
    return found
