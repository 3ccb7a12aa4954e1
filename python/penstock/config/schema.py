"""The configuration's JSON Schema, made from the same structs that read it: for editors and reviews."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from msgspec import NODEFAULT, Struct, to_builtins
from msgspec.structs import fields

from penstock.config.model import NONE, SHORT, Config, Secret

_REFERENCE = {"type": "string", "pattern": r"\$\{(env|file):"}
_UNITS: dict[str, dict[str, Any]] = {
    "duration": {"type": ["string", "integer"], "pattern": r"^(0|\d+(\.\d+)? ?(ms|s|m|h|d))$", "maximum": 0},
    "usd": {"type": ["string", "number"], "pattern": r"^\d+(\.\d{1,9})?$", "minimum": 0},
    "factor": {"type": ["string", "number"], "pattern": r"^\d+(\.\d{1,9})?$", "minimum": 0},
    "size": {"type": ["string", "integer"], "pattern": r"^\d+(\.\d+)? ?([KMGT]i?B|B)?$", "minimum": 0},
}


def schema() -> dict[str, Any]:
    """A JSON Schema (2020-12) for penstock.yaml."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "penstock.yaml",
        **_struct(Config),
    }


def _struct(want: type[Struct]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for info in fields(want):
        name = info.encode_name
        properties[name] = _any(info.type)
        if info.default is not NODEFAULT and isinstance(info.default, bool | int | str) and not _unit(info.type):
            properties[name] |= {"default": to_builtins(info.default, enc_hook=str)}
    about = (want.__doc__ or "").strip().split("\n")[0]
    return {"type": "object", "description": about, "properties": properties, "additionalProperties": False}


def _any(want: Any) -> dict[str, Any]:
    origin, inner = get_origin(want), get_args(want)
    if origin in (Union, UnionType):
        return {"anyOf": [_any(arm) for arm in inner]}
    if want is type(None):
        return {"type": "null"}
    if origin is Literal:
        return {"enum": list(inner)}
    if origin is tuple:
        return {"anyOf": [{"type": "array", "items": _any(inner[0])}, {"type": "string"}]}
    if origin is dict:
        names = {"propertyNames": _any(inner[0])} if get_origin(inner[0]) is Literal else {}
        return {"type": "object", "additionalProperties": _any(inner[1]), **names}
    if isinstance(want, type) and issubclass(want, Struct) and want is not Secret:
        if want in NONE:
            return {"anyOf": [{"const": "none"}, _struct(want)]}
        return _struct(want) if want not in SHORT else {"anyOf": [{"type": "string"}, _struct(want)]}
    if want is bool:
        return {"anyOf": [{"type": "boolean"}, _REFERENCE]}
    if want is int:
        return {"anyOf": [{"type": "integer", "minimum": 0}, _REFERENCE]}
    if origin is Annotated:
        if unit := _unit(want):
            return {"anyOf": [_UNITS[unit], _REFERENCE]}
        return {"anyOf": [{"type": "integer", "minimum": inner[1].ge, "maximum": inner[1].le}, _REFERENCE]}
    return {"type": ["string", "number", "boolean"]}  # YAML may take a plain word for another type


def _unit(want: Any) -> str | None:
    metas = [arg for arg in get_args(want) if hasattr(arg, "extra")]
    return str(metas[0].extra["unit"]) if metas and metas[0].extra else None
