"""What is limited somewhere, who says so, and how much of it is used now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

import msgspec
from msgspec import Struct

from penstock.admin.shapes import LimitShape, Origin
from penstock.limits.policy import CONCURRENT, RATES, Kind, Limits, Period, Rate, policy_of, show_rate

OPEN = "open"
"""The key that every request has where none is asked for."""


class Counters(Protocol):
    """What a running node counts; the docstrings stand in `app.py`."""

    @property
    def limits_away(self) -> bool: ...
    def limits_use(self, scope: str, name: str) -> bytes: ...
    async def limits_reset(self, scope: str, name: str) -> bool: ...


class Used(Struct, frozen=True):
    """One counter as native reports it: of a window, of a period, or, with neither, of what runs at once."""

    kind: str
    amount: int
    used: int
    reset_us: int
    window_us: int | None = None
    period: Period | None = None


class _Part(NamedTuple):
    kind: Kind
    text: str
    amount: int
    window_us: int | None = None
    period: Period | None = None


Layer = tuple[Origin, Limits | None]
_decode = msgspec.json.Decoder(list[Used]).decode


def limited(layers: Iterable[Layer], report: bytes | None) -> tuple[LimitShape, ...]:
    """What is in force: of each kind what the first layer says that sets it. `report` is native's; None: no node runs
    here, and what is used is not known. The limits can be read."""
    chosen: dict[Kind, tuple[Origin, tuple[_Part, ...]]] = {}
    for origin, limits in layers:
        for kind, parts in _parts(limits).items():
            chosen.setdefault(kind, (origin, parts))
    counters = None
    if report is not None:
        counters = {(each.kind, each.window_us, each.period): each for each in _decode(report)}
    ordered = (chosen[kind] for kind in (*RATES, CONCURRENT) if kind in chosen)
    return tuple(_shape(part, origin, counters) for origin, parts in ordered for part in parts)


def _parts(limits: Limits | None) -> dict[Kind, tuple[_Part, ...]]:
    """Kind by kind; one that lifts has none."""
    if limits is None:
        return {}
    policy = policy_of(limits)
    found: dict[Kind, tuple[_Part, ...]] = {}
    for kind in RATES:
        rates: tuple[Rate, ...] | None = getattr(policy, kind)
        if rates is not None:
            found[kind] = tuple(
                _Part(kind, show_rate(kind, rate), rate.amount, rate.window_us, rate.period) for rate in rates
            )
    if policy.concurrent is not None:
        found[CONCURRENT] = tuple(_Part(CONCURRENT, str(each.amount), each.amount) for each in policy.concurrent)
    return found


def _shape(
    part: _Part, origin: Origin, counters: Mapping[tuple[str, int | None, Period | None], Used] | None
) -> LimitShape:
    if counters is None:
        used, remaining, reset_ms = None, None, None
    else:
        count = counters.get((part.kind, part.window_us, part.period))
        used = count.used if count else 0
        remaining, reset_ms = max(0, part.amount - used), -(-count.reset_us // 1000) if count else 0
    return LimitShape(
        kind=part.kind,
        limit=part.text,
        amount=part.amount,
        used=used,
        remaining=remaining,
        reset_ms=reset_ms,
        origin=origin,
    )
