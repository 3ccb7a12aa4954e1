"""Prices as native needs them: every rate stated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from penstock.config.model import Price, Rates
from penstock.policy import snapshot
from penstock.providers.prices import PriceList
from penstock.providers.resolve import Upstream

_OTHERWISE = {
    "cached_input": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "audio_input": "input",
    "image_input": "input",
    "audio_output": "output",
    "image_output": "output",
    "reasoning": "output",
}
"""Which rate holds where one is not stated; in this order."""

_WHOLE = 1_000_000_000


def priced_kinds(upstreams: Mapping[str, Upstream]) -> frozenset[str]:
    """The kinds of provider whose list of prices is needed."""
    return frozenset(each.kind for each in upstreams.values() if each.kind and not each.free)


def compile_prices(prices: Mapping[str, Price], listed: PriceList) -> tuple[snapshot.Price, ...]:
    """The prices of a checked configuration, then those of the list: native takes the first that fits."""
    return (*_each(None, prices), *(made for kind, models in listed.items() for made in _each(kind, models)))


def _each(kind: str | None, prices: Mapping[str, Price]) -> Iterator[snapshot.Price]:
    for pattern, price in prices.items():
        stated = _stated(price)
        above = tuple(
            snapshot.Step(int(tokens), _rates(stated | _stated(rates))) for tokens, rates in price.above.items()
        )
        factors = snapshot.Factors(
            batch=_WHOLE // 2 if price.batch is None else price.batch,
            flex=_WHOLE if price.flex is None else price.flex,
            priority=_WHOLE if price.priority is None else price.priority,
            ultrafast=_WHOLE if price.ultrafast is None else price.ultrafast,
            fast=price.fast,
        )
        yield snapshot.Price(kind, pattern, _rates(stated), above, factors)


def _stated(rates: Price | Rates) -> dict[str, int]:
    found = {name: getattr(rates, name) for name in snapshot.Rates.__struct_fields__}
    return {name: rate for name, rate in found.items() if rate is not None}


def _rates(stated: dict[str, int]) -> snapshot.Rates:
    full = {"input": 0, "output": 0, "audio_second": 0, "input_character": 0} | stated
    for name, other in _OTHERWISE.items():
        full.setdefault(name, full[other])
    return snapshot.Rates(**full)
