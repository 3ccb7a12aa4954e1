"""Limits of LiteLLM's keys, teams and deployments, as Penstock writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import ROUND_DOWN, Decimal, InvalidOperation

from penstock.importers.litellm.deployments import Deployment
from penstock.importers.litellm.notes import Notes, printable
from penstock.limits.policy import LARGEST, LONGEST_US

Limits = dict[str, str | int]
"""As `penstock keys import` and the configuration take them."""

KINDS = {"rpm": "requests", "tpm": "tokens", "max_parallel_requests": "concurrent"}
"""A deployment's, and what they become."""
MOST_AT_ONCE = 1_000_000
WHERE = "under limits.models, where it holds for a name and all of its targets"
_UNREAD = "is no number that a limit can have, 0 or from 1 on, so there is none: set it afterwards with --limit"
IN_MONTHS = "budget_duration in months"
LEFT_OUT = {
    "rpm_limit": _UNREAD,
    "tpm_limit": _UNREAD,
    "max_parallel_requests": _UNREAD,
    "max_budget": "is no amount that a budget can have, so there is none: set one afterwards with --limit",
    IN_MONTHS: "several months become as many times 30 days: only one can be a month of the calendar",
    "budget_duration": (
        "a budget begins anew after a time of at most 400 days, such as '20 usd/30d'; these have another or none, so "
        "there is no budget: set one afterwards with --limit"
    ),
}
_COLUMNS = (("rpm_limit", "requests"), ("tpm_limit", "tokens"), ("max_parallel_requests", "concurrent"))
_DURATION = re.compile(r"(\d{1,6})\s*(s|m|h|d|w|mo)\Z", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "mo": 30 * 86_400}
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
        written = _usd(_number(cells.get("max_budget")))
    except ValueError:
        return found, [*wrong, "max_budget"]
    if written is not None:
        window = _window(cells.get("budget_duration"))
        if window is None:
            wrong.append("budget_duration")
        else:
            found["budget"] = f"{written} usd/{window}"
            wrong += [IN_MONTHS] if _is_months(cells.get("budget_duration")) else []
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
    """Raises ValueError for more than any limit can be, and for a part of one: 0 would let nothing through."""
    whole = int(amount)
    if amount and not whole:
        raise ValueError(kind)
    if whole > (MOST_AT_ONCE if kind == "concurrent" else LARGEST):
        raise ValueError(kind)
    return whole if kind == "concurrent" else f"{whole}/min"


def _usd(amount: Decimal | None) -> str | None:
    """`max_budget` as a limit writes it. Raises ValueError for more than any limit can be, or less than one counts."""
    if amount is None:
        return None
    exact = amount.quantize(_NANO, ROUND_DOWN)
    if exact > LARGEST * _NANO or (amount and not exact):
        raise ValueError("expected an amount of money")
    text = f"{exact:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _is_months(duration: object) -> bool:
    found = _DURATION.match(duration.strip().lower()) if isinstance(duration, str) else None
    return found is not None and found[2] == "mo" and int(found[1]) > 1


def _window(duration: object) -> str | None:
    """How long a budget lasts, as a limit writes it."""
    found = _DURATION.match(duration.strip().lower()) if isinstance(duration, str) else None
    if found is None:
        return None
    count, unit = int(found[1]), found[2]
    if unit == "mo" and count == 1:
        return "month"
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
