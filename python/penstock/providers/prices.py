"""Reads prices.yaml: what models cost at each kind of provider, as far as somebody asks."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from penstock.config.model import Price, Rates
from penstock.config.units import parse_usd

FILE = Path(__file__).with_name("prices.yaml")

PriceList = Mapping[str, Mapping[str, Price]]
"""Kind of provider → name or pattern of a model there → its price."""

_KIND = re.compile(r"^(\w[\w-]*):$", re.MULTILINE)


def load_prices(kinds: Container[str]) -> PriceList:
    """The prices of these kinds, in nano-dollars per million tokens; only their part of the file is parsed.

    Raises ValueError if that does not fit.
    """
    import yaml  # once a start or reload

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # every value is text: a price is exact
    _, *parts = _KIND.split(FILE.read_text())
    found: dict[str, dict[str, Price]] = {}
    for kind, part in zip(parts[::2], parts[1::2], strict=True):
        if kind in kinds:
            read = yaml.load(part, loader)  # noqa: S506 (a base loader makes nothing but text)
            found[kind] = {name: _price(entry) for name, entry in read.items()}
    return found


def _price(entry: dict[str, Any]) -> Price:
    above = entry.pop("above", {})
    steps = {tokens: Rates(**_numbers(rates)) for tokens, rates in above.items()}
    return Price(above=steps, **_numbers(entry))


def _numbers(written: dict[str, str]) -> dict[str, int]:
    return {name: parse_usd(text) for name, text in written.items()}
