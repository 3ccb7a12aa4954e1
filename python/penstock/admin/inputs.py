"""Bodies and query parameters into the types of a route; everything wrong is noted, each with its field."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from penstock.config.problem import did_you_mean
from penstock.keys import wishes
from penstock.keys.problem import FieldProblem, Invalid

JSON = re.compile(r"application/(?:[A-Za-z0-9!#$&^_.-]+\+)?json\s*(?:;|\Z)", re.IGNORECASE)
MAX_PARAMETERS = 32
MAX_FIELDS = 256
LONGEST_SHOWN = 64

Read = Callable[[Any], tuple[Any, Sequence[FieldProblem]]]
"""From decoded JSON to a value and what is wrong with it."""


class NotJson(Exception):
    """The body is no JSON; the message says where."""


def read_body(body: bytes, read: Read) -> tuple[Any, Sequence[FieldProblem]]:
    """The body as a route takes it, and what is wrong with it. Raises `NotJson`."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotJson(str(error)) from None
    except RecursionError:
        raise NotJson("nested too deep") from None
    if isinstance(value, dict) and len(value) > MAX_FIELDS:
        return None, [FieldProblem("", f"has {len(value)} fields")]
    try:
        return read(value)
    except Invalid as error:
        return None, error.problems


def reader(kind: type[Struct]) -> Read:
    """Reads one struct."""
    return lambda value: wishes.read(kind, value)


def read_query(query: str, want: type[Struct] | None) -> tuple[Any, Sequence[FieldProblem]]:
    """The parameters as the type's fields say, and what is wrong with them."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError:
        return None, [FieldProblem("", f"more than {MAX_PARAMETERS} parameters")]
    types = {info.name: info.type for info in fields(want)} if want else {}
    found: dict[str, Any] = {}
    problems: list[FieldProblem] = []
    for name, text in pairs:
        if name not in types:
            hint = did_you_mean(name, types)
            problems.append(FieldProblem(shown(name), "unknown parameter" + (f" ({hint})" if hint else "")))
        elif name in found:
            problems.append(FieldProblem(name, "stands twice"))
        elif (words := _words(types[name])) and text not in words:
            problems.append(FieldProblem(name, f"expected one of {', '.join(words)}, not {shown(text)!r}"))
        elif "\x00" in text:
            problems.append(FieldProblem(name, "expected text without NUL"))
        else:
            found[name] = _number(text) if _is_number(types[name]) else text
    if want is None:
        return None, problems
    made, wrong = wishes.read(want, found)
    return made, [*problems, *wrong]


def shown(text: str) -> str:
    """What someone made up, bounded: it is repeated in the answer."""
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"


def _number(text: str) -> int | str:
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdecimal() and len(text) < 19 else text


def _words(want: Any) -> tuple[str, ...]:
    """The words of a `Literal`, alone or beside None."""
    arms = get_args(want) if get_origin(want) in (Union, UnionType) else (want,)
    return next((get_args(arm) for arm in arms if get_origin(arm) is Literal), ())


def _is_number(want: Any) -> bool:
    inside = get_args(want) if get_origin(want) in (Annotated, Union, UnionType) else ()
    return want is int or any(_is_number(arm) for arm in inside)
