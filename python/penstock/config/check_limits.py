"""The rules for limits and prices: what is written can be read, and the names lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping

from penstock.config.model import Config, Price, as_written
from penstock.config.problem import Notes, Path, did_you_mean
from penstock.limits.policy import LimitError, Limits, problems
from penstock.policy.names import meet_any
from penstock.policy.routes import compile_patterns
from penstock.providers.resolve import Upstream

_TOKENS = re.compile(r"[1-9]\d{0,11}\Z", re.ASCII)


def check(config: Config, upstreams: Mapping[str, Upstream], wrong: Container[Path], found: Notes) -> None:
    """Notes what is wrong; `upstreams` are those of the providers that could be resolved, `wrong` has the fields that
    could not be read."""
    for path, limits in _places(config):
        for error in problems(limits, lifts=False):
            if error.field != "queue" or (*path, "concurrent") not in wrong:
                _note(path, limits, error, found)
    for name in config.limits.providers:
        if name not in config.providers:
            hint = did_you_mean(name, config.providers)
            found.add(("limits", "providers", name), f"{name!r} is not among the providers", hint, key=True)
    if len(upstreams) == len(config.providers):  # else names would seem to lead nowhere
        _models(config, upstreams, found)
    _zone(config.limits.zone, found)
    for name, price in config.prices.items():
        _price(name, price, found)


def _places(config: Config) -> Iterator[tuple[Path, Limits]]:
    yield ("limits", "default"), config.limits.default
    yield ("limits", "global"), config.limits.global_
    for name, limits in config.limits.models.items():
        yield ("limits", "models", name), limits
    for name, limits in config.limits.providers.items():
        yield ("limits", "providers", name), limits


def _note(path: Path, limits: Limits, error: LimitError, found: Notes) -> None:
    kind, *place = error.field.split(".")
    written = getattr(limits, kind)
    if place:
        written = written[int(place[0])]
    message = str(error)
    if isinstance(written, str) and message.startswith("expected "):
        message += f", not {as_written(written)!r}"
    found.add((*path, kind, *map(int, place)), message)


def _models(config: Config, upstreams: Mapping[str, Upstream], found: Notes) -> None:
    wide = [name for name in config.models if "*" in name]
    wide += [each.pattern for each in compile_patterns(config, upstreams)]
    for name in config.limits.models:
        provider, slash, rest = name.partition("/")
        if name in config.models or (slash and rest and provider in config.providers and "*" not in name):
            continue
        path: Path = ("limits", "models", name)
        if "*" in name:
            found.add(path, f"{name!r} is not among the models", did_you_mean(name, config.models), key=True)
        elif not meet_any(name, wide):
            hint = did_you_mean(name, (*config.models, *(f"{each}/…" for each in config.providers)))
            found.add(path, f"{name!r} leads to no model", hint, key=True)


def _zone(zone: str, found: Notes) -> None:
    if zone == "UTC":
        return
    import zoneinfo  # only where days and months begin elsewhere

    try:
        zoneinfo.ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        shown = as_written(zone)
        hint = did_you_mean(shown, zoneinfo.available_timezones()) or "such as Europe/Berlin"
        found.add(("limits", "zone"), f"{shown!r} is no time zone that is known here", hint)


def _price(name: str, price: Price, found: Notes) -> None:
    path: Path = ("prices", name)
    if not name or name.count("*") > 1 or not name.isprintable() or " " in name or len(name) > 256:
        found.add(path, "a model's name is printable, without spaces, with at most one *", key=True)
    for part in ("input", "output"):
        if getattr(price, part) is None:
            found.add((*path, part), "is missing", "in usd per million tokens; 0 if there are none")
    for tokens in price.above:
        if not _TOKENS.match(tokens):
            found.add((*path, "above", tokens), "expected a number of tokens such as 200000", key=True)
