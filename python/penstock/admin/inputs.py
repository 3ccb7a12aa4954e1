"""Bodies and query parameters into the types of a route; everything wrong at once, each with its field."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct, UnsetType
from msgspec.structs import fields

from penstock.config.problem import did_you_mean
from penstock.keys.problem import FieldProblem, Invalid

JSON = re.compile(r"application/(?:[A-Za-z0-9!#$&^_.-]+\+)?json\s*(?:;|\Z)", re.IGNORECASE)
MAX_PARAMETERS = 32
MAX_HINTS = 20
LONGEST_SHOWN = 64
_WORDS = {
    "`str | null`": "text or null", "`str`": "text", "`int`": "a whole number", "`bool`": "true or false",
    "`array | null`": "a list or null", "`array`": "a list", "`object | null`": "an object or null",
    "`object`": "an object", "`null`": "null", "`float`": "a number",
}  # fmt: skip
_PLACE = re.compile(r" - at `.*`\Z")


class NotJson(Exception):
    """The body is no JSON; the message says where."""


def read_body(body: bytes, want: Any) -> Any:
    """The body as the type says. Raises `NotJson`, and `Invalid` with every problem."""
    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise NotJson(str(error)) from None
    except RecursionError:
        raise NotJson("nested too deep") from None
    return _whole(value, want)


def read_query(query: str, want: type | None) -> Any:
    """The parameters as the type's fields say. Raises `Invalid` with every problem."""
    found: dict[str, Any] = {}
    problems: list[FieldProblem] = []
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError:
        raise Invalid([FieldProblem("", f"has more than {MAX_PARAMETERS} parameters")]) from None
    known = fields(want) if want else ()
    names = [info.name for info in known]
    numbers = {info.name for info in known if _is_number(info.type)}
    for name, value in pairs:
        if name not in names:
            problems.append(FieldProblem(_shown(name), _unknown("parameter", name, names, problems)))
        elif name in found:
            problems.append(FieldProblem(name, "stands twice"))
        elif name in numbers:
            number = value.removeprefix("-")
            found[name] = int(value) if number.isascii() and number.isdecimal() and len(value) < 19 else value
        else:
            found[name] = value
    if want is None:
        if problems:
            raise Invalid(problems)
        return None
    return _whole(found, want, problems)


def _whole(value: Any, want: Any, problems: list[FieldProblem] | None = None) -> Any:
    """Converts what can be converted, notes the rest, and raises `Invalid` if there is any."""
    problems = [] if problems is None else problems
    made = _value(value, want, "", problems)
    if problems:
        raise Invalid(problems)
    return made


def _value(value: Any, want: Any, path: str, problems: list[FieldProblem]) -> Any:
    origin = get_origin(want)
    if origin is Annotated and isinstance(value, dict | list):
        before = len(problems)
        _value(value, get_args(want)[0], path, problems)
        if len(problems) > before:
            return None
    elif origin in (Union, UnionType):
        arms = [arm for arm in get_args(want) if arm not in (type(None), UnsetType)]
        if len(arms) == 1 and _is_nest(arms[0], value):
            return _value(value, arms[0], path, problems)
    elif isinstance(want, type) and issubclass(want, Struct) and isinstance(value, dict):
        return _struct(value, want, path, problems)
    elif origin in (tuple, list) and isinstance(value, list):
        item = get_args(want)[0]
        return origin(_value(each, item, f"{path}[{index}]", problems) for index, each in enumerate(value))
    elif origin is dict and isinstance(value, dict):
        item = get_args(want)[1]
        return {name: _value(each, item, _below(path, _shown(name)), problems) for name, each in value.items()}
    words = _words(want)
    if words and isinstance(value, str) and value not in words:
        problems.append(FieldProblem(path, f"expected one of {', '.join(words)}, not {_shown(value)!r}"))
        return None
    try:
        made = msgspec.convert(value, want)
    except msgspec.ValidationError as error:
        problems.append(FieldProblem(path, _said(str(error))))
        return None
    if isinstance(made, str) and "\x00" in made:
        problems.append(FieldProblem(path, "expected text without NUL"))
    return made


def _is_nest(want: Any, value: Any) -> bool:
    """Whether there is something inside that may be wrong by itself."""
    return isinstance(value, dict | list) and not (get_origin(want) is None and not hasattr(want, "__struct_fields__"))


def _struct(value: Mapping[str, Any], want: type[Struct], path: str, problems: list[FieldProblem]) -> Any:
    known = {info.encode_name: info for info in fields(want)}
    found: dict[str, Any] = {}
    before = len(problems)
    for name, each in value.items():
        if name in known:
            found[known[name].name] = _value(each, known[name].type, _below(path, name), problems)
        else:
            problems.append(FieldProblem(_below(path, _shown(name)), _unknown("field", name, known, problems)))
    for name, info in known.items():
        if info.required and name not in value:
            problems.append(FieldProblem(_below(path, name), "is missing"))
    return want(**found) if len(problems) == before else None


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _unknown(what: str, name: str, known: Iterable[str], problems: list[FieldProblem]) -> str:
    """With a hint, unless there are so many that looking for likeness would take long."""
    hint = did_you_mean(name, known) if len(problems) < MAX_HINTS and len(name) <= LONGEST_SHOWN else ""
    return f"unknown {what}" + (f" ({hint})" if hint else "")


def _shown(name: str) -> str:
    """A name that someone made up, bounded: it is repeated in the answer."""
    return name if len(name) <= LONGEST_SHOWN else name[: LONGEST_SHOWN - 1] + "…"


def _words(want: Any) -> tuple[str, ...]:
    """The words of a `Literal`, alone or beside None."""
    arms = get_args(want) if get_origin(want) in (Union, UnionType) else (want,)
    return next((get_args(arm) for arm in arms if get_origin(arm) is Literal), ())


def _is_number(want: Any) -> bool:
    inside = get_args(want) if get_origin(want) in (Annotated, Union, UnionType) else ()
    return want is int or any(_is_number(arm) for arm in inside)


def _said(text: str) -> str:
    """msgspec's message in our words."""
    text = _PLACE.sub("", text)
    for theirs, ours in _WORDS.items():
        text = text.replace(theirs, ours)
    return text[:1].lower() + text[1:].replace("`", "")
