"""`--limit` of keys and teams: what it becomes in a request, and how limits are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

from penstock.config.units import show_usd
from penstock.limits.policy import CONCURRENT, RATES, Limits

CommandT = TypeVar("CommandT", bound=Callable[..., Any])
KINDS = Limits.__struct_fields__
DEFAULT = "default"
_ABOUT = (
    "Limit it: requests=600/min, tokens=200000/min, budget='20 usd/day', concurrent=50, queue=2s, reserve=cap, "
    "away=closed. Repeat for more."
)
_LIFTS = " KIND=none lifts limits.default."
_LONGEST_NUMBER = 15
_ORIGINS = {
    "key": "the key",
    "default": "limits.default",
    "model": "limits.models",
    "provider": "limits.providers",
    "global": "limits.global",
}


class LimitsError(ValueError):
    """Limits are not written as KIND=VALUE; each problem says which and how."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def limit_option(command: CommandT) -> CommandT:
    """`--limit KIND=VALUE` of a key."""
    return click.option("--limit", "limits", multiple=True, metavar="KIND=VALUE", help=_ABOUT + _LIFTS)(command)


def pool_option(command: CommandT) -> CommandT:
    """`--limit KIND=VALUE` of a team, which has no default."""
    return click.option("--limit", "limits", multiple=True, metavar="KIND=VALUE", help=_ABOUT)(command)


def lift_limits_option(command: CommandT) -> CommandT:
    """`--no-limits`."""
    about = "None of its own any more. --limit KIND=default does that for one kind."
    return click.option("--no-limits", is_flag=True, help=about)(command)


def read_limits(given: Iterable[str]) -> dict[str, Any]:
    """The object of the API; several limits of one kind become a list. Raises `LimitsError`."""
    found: dict[str, Any] = {}
    problems: list[str] = []
    for each in given:
        kind, equals, value = (part.strip() for part in each.partition("="))
        if not equals or not value or kind not in KINDS:
            problems.append(f"expected KIND=VALUE with a kind of {', '.join(KINDS)}, not {each[:100]!r}")
        elif kind in RATES and kind in found and DEFAULT not in (value, found[kind]):
            before = found[kind]
            found[kind] = [*(before if isinstance(before, list) else [before]), value]
        elif kind in found:
            problems.append(f"{kind} stands twice")
        else:
            is_number = kind == CONCURRENT and value.isascii() and value.isdecimal()
            found[kind] = int(value) if is_number and len(value) <= _LONGEST_NUMBER else value
    if problems:
        raise LimitsError(problems)
    return found


def limits_wish(given: Sequence[str]) -> dict[str, Any]:
    """The limits of something new. Raises `click.BadParameter`."""
    limits = {kind: value for kind, value in _read(given).items() if value != DEFAULT}
    return {"limits": limits} if limits else {}


def limits_patch(given: Sequence[str], lift: bool) -> dict[str, Any]:
    """What a patch says of them. Raises `click.BadParameter` and `click.UsageError`."""
    if given and lift:
        raise click.UsageError("--limit and --no-limits exclude each other")
    if lift:
        return {"limits": None}
    limits = {kind: None if value == DEFAULT else value for kind, value in _read(given).items()}
    return {"limits": limits} if limits else {}


def limit_lines(limits: Iterable[dict[str, Any]], team: str = "") -> list[str]:
    """A line for each limit in force: who sets it, and what is used of it where that is known."""
    origins = _ORIGINS | {"team": f"the team {team}"}
    return [f"{each['kind']} {each['limit']}  (from {origins[each['from']]}){_use(each)}" for each in limits]


def _use(limit: dict[str, Any]) -> str:
    if limit["used"] is None:
        return ""
    reset = f", free again in {_duration(limit['reset_ms'])}" if limit["reset_ms"] and limit["used"] else ""
    return f"  {_amount(limit['kind'], limit['used'])} used{reset}"


def _amount(kind: str, used: int) -> str:
    """As limits are written."""
    return f"{show_usd(used)} usd" if kind == "budget" else str(used)


def _duration(ms: int) -> str:
    """To the second, rounded up; long ones to the minute."""
    seconds = -(-ms // 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{count}{unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s")) if count]
    return "".join(parts[:2]) or "0s"


def _read(given: Sequence[str]) -> dict[str, Any]:
    try:
        return read_limits(given)
    except LimitsError as error:
        raise click.BadParameter(str(error), param_hint="--limit") from None
