"""The merged configuration for people: every field, defaults included, secrets hidden."""

from __future__ import annotations

from typing import Annotated, Any, get_args, get_origin

from msgspec import Struct
from msgspec.structs import fields

from penstock.config.model import Config, Model, Price, Provider, Rates, Secret, Target, TimeoutsOverride, as_written
from penstock.config.units import show_duration, show_size, show_usd
from penstock.limits.policy import Limits

_UNITS = {"duration": show_duration, "size": show_size, "usd": show_usd, "factor": show_usd}


def show(config: Config) -> dict[str, Any]:
    """Plain data, units as people write them; what a provider leaves to the catalogue is left out."""
    return _struct(config)


def _struct(value: Struct) -> dict[str, Any]:
    shown = {info.encode_name: _any(getattr(value, info.name), info.type) for info in fields(value)}
    if isinstance(value, Provider | Model | Target | TimeoutsOverride | Limits | Price | Rates):
        return {name: inner for name, inner in shown.items() if inner not in (None, "", {}, [])}
    return shown


def _any(value: Any, want: Any) -> Any:
    if isinstance(value, Secret):
        return value.shown()
    if isinstance(value, str):
        return as_written(value)
    if isinstance(value, Struct):
        return _struct(value)
    if isinstance(value, tuple):
        return [_any(item, get_args(want)[0]) for item in value]
    if isinstance(value, dict):
        return {key: _any(item, get_args(_inner(want))[1]) for key, item in value.items()}
    unit = _unit(want)
    if isinstance(value, int) and unit:
        return _UNITS[unit](value)
    return value


def _inner(want: Any) -> Any:
    """The type without its `| None`."""
    arms = [arm for arm in get_args(want) if arm is not type(None)]
    return want if get_origin(want) is dict else arms[0]


def _unit(want: Any) -> str | None:
    if get_origin(want) is Annotated:
        extra = get_args(want)[1].extra
        return str(extra["unit"]) if extra else None
    return next((unit for arm in get_args(want) if (unit := _unit(arm))), None)
