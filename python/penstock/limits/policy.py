"""Limits: as people write them (`600/min`, `20 usd/day`), and as native reads them, in the snapshot and in key rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, get_args

from msgspec import Struct

from penstock.config.units import parse_duration, parse_usd, show_usd
from penstock.times import DAY_US, HOUR_US

Reserve = Literal["expected", "cap"]
Away = Literal["fair_share", "closed", "open"]
Period = Literal["day", "month"]

Kind = Literal["requests", "tokens", "budget", "concurrent"]
Scope = Literal["key", "team", "model", "provider", "global"]
"""Where limits sit."""

RATES: tuple[Kind, ...] = ("requests", "tokens", "budget")
CONCURRENT: Kind = "concurrent"
SCOPES: tuple[Scope, ...] = get_args(Scope)
NONE = "none"
"""Written in place of a limit of a key: it lifts the default of its kind."""
LARGEST = (1 << 53) - 1
"""What every JSON reader takes exactly; in nano-dollars 9 million dollars."""
SHORTEST_US, LONGEST_US = 1_000_000, 400 * DAY_US
MOST = 4
"""Limits of one kind in one place."""

_UNITS_US = {
    "s": 1_000_000, "sec": 1_000_000, "second": 1_000_000, "m": 60_000_000, "min": 60_000_000, "minute": 60_000_000,
    "h": HOUR_US, "hour": HOUR_US, "d": DAY_US,
}  # fmt: skip
_RATE = re.compile(r"(\d{1,16})\s*/\s*(\d{1,9})?\s*([a-z]+)\Z", re.ASCII)
_BUDGET = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*usd\s*/\s*(\d{1,9})?\s*([a-z]+)\Z", re.ASCII)


_EXPECTED = "expected a limit such as"
_EMPTY = "an empty list says nothing: write none to lift the default, null for the default's"
_LIFTS_NOTHING = "none lifts limits.default for a key, and here is nothing to lift: leave it out"


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """As written, in one place: a key, a team, a model, a provider, the default or global. None is not set; a key
    without a kind has the default's, and `none` lifts that."""

    requests: str | tuple[str, ...] | None = None
    """`600/min`, `100/10s`: in any interval of that length. `10000/day`, `/month`: by the calendar."""
    tokens: str | tuple[str, ...] | None = None
    budget: str | tuple[str, ...] | None = None
    """`20 usd/day`, `0.5 usd/24h`."""
    concurrent: int | Literal["none"] | None = None
    """Requests in flight on this node."""
    queue: str | None = None
    """How long a request may wait for one of them to end, such as `2s`."""
    reserve: Reserve | None = None
    """What a request reserves of tokens and budget before its answer is known."""
    away: Away | None = None
    """What becomes of limits that nodes share while Redis does not answer."""


class Rate(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """At most `amount` (requests, tokens or nano-dollars) in a sliding window or in a period of the calendar."""

    amount: int
    window_us: int | None = None
    period: Period | None = None


class Slots(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """At most `amount` at once; others wait up to `queue_us`."""

    amount: int
    queue_us: int = 0


class Policy(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What native/core/src/limits/policy.rs reads. None: not set; an empty list: none."""

    requests: tuple[Rate, ...] | None = None
    tokens: tuple[Rate, ...] | None = None
    budget: tuple[Rate, ...] | None = None
    concurrent: tuple[Slots, ...] | None = None
    reserve: Reserve | None = None
    away: Away | None = None


class LimitError(ValueError):
    """One field is not a limit; `field` is its path below the place of the limits. The message repeats none of it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def policy_of(limits: Limits) -> Policy:
    """What it means. Raises `LimitError` for the first thing that is wrong."""
    for error in problems(limits):
        raise error
    rates = {kind: _rates(kind, getattr(limits, kind)) for kind in RATES}
    queue_us = parse_duration(limits.queue) * 1000 if limits.queue is not None else 0
    slots: tuple[Slots, ...] | None = None
    if limits.concurrent == NONE:
        slots = ()
    elif limits.concurrent is not None:
        slots = (Slots(int(limits.concurrent), queue_us),)
    return Policy(**rates, concurrent=slots, reserve=limits.reserve, away=limits.away)


def problems(limits: Limits, *, lifts: bool = True) -> Iterator[LimitError]:
    """Everything that is wrong, field by field; without `lifts` these are not a key's, and have nothing to lift."""
    for kind in RATES:
        written = _list(getattr(limits, kind))
        if getattr(limits, kind) == ():
            yield LimitError(kind, _EMPTY if lifts else "an empty list says nothing: leave it out")
        elif NONE in written and not lifts:
            yield LimitError(kind, _LIFTS_NOTHING)
            continue
        elif NONE in written and len(written) > 1:
            yield LimitError(kind, "`none` stands alone: it lifts every default of its kind")
        elif len(written) > MOST:
            yield LimitError(kind, f"at most {MOST} limits of one kind")
        seen = set()
        for place, text in enumerate(written):
            field = kind if isinstance(getattr(limits, kind), str) else f"{kind}.{place}"
            try:
                rate = None if text == NONE else parse_rate(kind, text)
            except ValueError as error:
                yield LimitError(field, f"{error}, or none" if lifts and _asks_for_one(error) else str(error))
                continue
            if rate is not None and (rate.window_us, rate.period) in seen:
                yield LimitError(field, "a second limit over the same time: leave the larger one out")
            elif rate is not None:
                seen.add((rate.window_us, rate.period))
    if isinstance(limits.concurrent, int) and not 0 <= limits.concurrent <= 1_000_000:
        yield LimitError("concurrent", "expected a number from 0 to 1000000" + (", or none" if lifts else ""))
    elif limits.concurrent == NONE and not lifts:
        yield LimitError("concurrent", _LIFTS_NOTHING)
    if limits.queue is not None:
        try:
            long = parse_duration(limits.queue)
        except ValueError as error:
            yield LimitError("queue", str(error))
        else:
            if long > 60_000:
                yield LimitError("queue", "at most 60s: whoever waits longer has given up")
            elif limits.concurrent == NONE and lifts:
                yield LimitError("queue", "with `concurrent` none there is nothing to wait for: set it to null as well")
            elif limits.concurrent is None:
                yield LimitError("queue", "needs `concurrent` beside it: that is what it waits for")


def parse_rate(kind: str, text: str) -> Rate:
    """One limit of a kind. Raises ValueError."""
    pattern, example = (
        (_BUDGET, "20 usd/day or 5 usd/24h") if kind == "budget" else (_RATE, "600/min, 100/10s or 5000/day")
    )
    found = pattern.match(text.strip())
    if found is None:
        raise ValueError(f"{_EXPECTED} {example}")
    number, count, unit = found.groups()
    amount = parse_usd(number) if kind == "budget" else int(number)
    if amount > LARGEST:
        raise ValueError("larger than any limit can be")
    if unit in ("day", "month"):
        if count is not None:
            raise ValueError(f"the calendar's period is one {unit}: write {unit} alone, or a length such as 24h or 7d")
        return Rate(amount, period="day" if unit == "day" else "month")
    if unit not in _UNITS_US:
        raise ValueError(f"{_EXPECTED} {example}")
    if unit == "m" and kind == "budget":
        raise ValueError("m could be minute or month: write min or month")
    window_us = int(count or 1) * _UNITS_US[unit]
    if not SHORTEST_US <= window_us <= LONGEST_US:
        raise ValueError("a window is from 1s to 400d long")
    return Rate(amount, window_us=window_us)


def show_rate(kind: str, rate: Rate) -> str:
    """The shortest way to write it that `parse_rate` reads back as the same: `600/min`, `20 usd/day`."""
    amount = f"{show_usd(rate.amount)} usd" if kind == "budget" else str(rate.amount)
    return f"{amount}/{rate.period or _show_window(rate.window_us or 0)}"


def _show_window(us: int) -> str:
    """A single day is `24h`: `1d` is too easily taken for `day`, which is the calendar's."""
    for unit, above in (("d", 1), ("h", 0), ("min", 0), ("s", 0)):
        count, rest = divmod(us, _UNITS_US[unit])
        if not rest and count > above:
            return unit if count == 1 else f"{count}{unit}"
    raise ValueError("a window has whole seconds")


def _asks_for_one(error: ValueError) -> bool:
    return str(error).startswith(_EXPECTED)


def _rates(kind: str, written: str | tuple[str, ...] | None) -> tuple[Rate, ...] | None:
    if written is None:
        return None
    return tuple(parse_rate(kind, text) for text in _list(written) if text != NONE)


def _list(written: str | tuple[str, ...] | None) -> tuple[str, ...]:
    if written is None:
        return ()
    return (written,) if isinstance(written, str) else written
