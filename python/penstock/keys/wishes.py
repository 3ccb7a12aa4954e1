"""What an administrator asks for, as JSON objects; reading one finds every field that is wrong, not the first alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec import UNSET, Struct, UnsetType

from penstock.config.problem import did_you_mean
from penstock.keys.model import Role
from penstock.keys.problem import HINTS, FieldProblem, Invalid
from penstock.limits.policy import Away, Limits, Reserve


class LimitsPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes of the limits of a key or team, kind by kind: absent ones stay, null has it set none of its own."""

    requests: str | tuple[str, ...] | UnsetType | None = UNSET
    tokens: str | tuple[str, ...] | UnsetType | None = UNSET
    budget: str | tuple[str, ...] | UnsetType | None = UNSET
    concurrent: int | Literal["none"] | UnsetType | None = UNSET
    queue: str | UnsetType | None = UNSET
    reserve: Reserve | UnsetType | None = UNSET
    away: Away | UnsetType | None = UNSET


class NewKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to be made; null or absent lists allow all, empty ones nothing."""

    name: str
    team: str | None = None
    """Name or id."""
    owner: str | None = None
    models: tuple[str, ...] | None = None
    paths: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None
    limits: Limits | None = None
    """Of its own; a kind that is not in it comes from the default."""
    expires: str | None = None
    """RFC 3339, with a time zone."""
    tags: dict[str, str] = {}
    content: bool = True
    """False: texts of its requests are never recorded."""
    secret: str | None = None
    """One that was made elsewhere, to be taken over; absent: a new one is made."""

    def __repr__(self) -> str:
        return f"NewKey(name={self.name!r})"


class KeyPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes of a key: absent fields stay, null clears. A tag that is null goes, others stay."""

    name: str | UnsetType = UNSET
    team: str | UnsetType | None = UNSET
    owner: str | UnsetType | None = UNSET
    models: tuple[str, ...] | UnsetType | None = UNSET
    paths: tuple[str, ...] | UnsetType | None = UNSET
    networks: tuple[str, ...] | UnsetType | None = UNSET
    limits: LimitsPatch | UnsetType | None = UNSET
    expires: str | UnsetType | None = UNSET
    tags: dict[str, str | None] | UnsetType | None = UNSET
    content: bool | UnsetType = UNSET


class NewTeam(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A team to be made."""

    name: str
    models: tuple[str, ...] | None = None
    paths: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None
    limits: Limits | None = None
    """A pool that its keys share."""
    tags: dict[str, str] = {}
    content: bool = True
    """False: texts of its keys' requests are never recorded."""


class TeamPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes of a team, as with a key. The keys of a disabled team are disabled."""

    name: str | UnsetType = UNSET
    models: tuple[str, ...] | UnsetType | None = UNSET
    paths: tuple[str, ...] | UnsetType | None = UNSET
    networks: tuple[str, ...] | UnsetType | None = UNSET
    limits: LimitsPatch | UnsetType | None = UNSET
    tags: dict[str, str | None] | UnsetType | None = UNSET
    content: bool | UnsetType = UNSET
    state: Literal["active", "disabled"] | UnsetType = UNSET


class ForeignKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key that was made elsewhere: its secret, or the SHA-256 of it in hex."""

    name: str
    secret: str | None = None
    sha256: str | None = None
    team: str | None = None
    owner: str | None = None
    models: tuple[str, ...] | None = None
    paths: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None
    limits: Limits | None = None
    expires: str | None = None
    tags: dict[str, str] = {}
    content: bool = True

    def __repr__(self) -> str:
        return f"ForeignKey(name={self.name!r})"


class NewToken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A further token for the admin port."""

    name: str
    role: Role = "viewer"


class Rotation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the secret before stays valid, such as `24h`; `0`: it ends at once."""

    overlap: str = "24h"


class Disable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether answers that are under way are cut too."""

    cut: bool = False


WishT = TypeVar("WishT", bound=Struct)

_AT = re.compile(r" - at `\$(.*)`\Z")
_WORDS = {
    "str": "text", "array": "a list", "object": "an object", "int": "a whole number", "float": "a number",
    "bool": "true or false", "null": "null",
}  # fmt: skip


def read(kind: type[WishT], body: bytes | object) -> tuple[WishT, list[FieldProblem]]:
    """A wish out of JSON, or of what JSON was decoded to, and what is wrong with its fields.

    Fields that are wrong have their default, so that the others can be judged too: pass the problems on as `found`.
    Raises `Invalid` when it is not even a JSON object.
    """
    if isinstance(body, bytes):
        try:
            body = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Invalid([FieldProblem("", f"this is not JSON: {error}")]) from None
    if not isinstance(body, dict):
        raise Invalid([FieldProblem("", 'an object with fields is expected: {"name": …}')])
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    problems: list[FieldProblem] = []
    values = {}
    for name in body:
        if name not in fields:
            hint = did_you_mean(str(name), fields) if len(problems) < HINTS else ""
            problems.append(FieldProblem(str(name)[:100], "there is no such field" + (f" ({hint})" if hint else "")))
    for name, field in fields.items():
        if name in body:
            found = _faults(name, body[name], field.type)
            problems += found
            if not found:
                values[name] = msgspec.convert(body[name], field.type)
                continue
        elif field.required:
            problems.append(FieldProblem(name, "is missing"))
        if field.required:
            values[name] = ""
    return kind(**values), problems


def decode(kind: type[WishT], body: bytes | object) -> WishT:
    """As `read`, for whoever has nothing more to judge. Raises `Invalid`."""
    wish, problems = read(kind, body)
    if problems:
        raise Invalid(problems)
    return wish


def _faults(field: str, value: Any, kind: Any) -> Sequence[FieldProblem]:
    """What is wrong with a value: each element of a list or an object by itself."""
    try:
        msgspec.convert(value, kind)
        return ()
    except msgspec.ValidationError as error:
        whole = str(error)
    found: list[FieldProblem] = []
    inner = next((arm for arm in (kind, *get_args(kind)) if isinstance(arm, type) and issubclass(arm, Struct)), None)
    if isinstance(value, dict) and inner is not None:
        found = _field_faults(field, value, inner)
    elif isinstance(value, list):
        found = [f for n, each in enumerate(value) for f in _element_faults(f"{field}[{n}]", [each], kind)]
    elif isinstance(value, dict):
        found = [
            f for name, each in value.items() for f in _element_faults(f"{field}.{name}"[:100], {name: each}, kind)
        ]
    return found or [FieldProblem(field, _plain(whole) + _choices(whole, kind))]


def _field_faults(path: str, value: dict[Any, Any], kind: type[Struct]) -> list[FieldProblem]:
    """The same of an object with fields of its own."""
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    found: list[FieldProblem] = []
    for name, each in value.items():
        place = f"{path}.{name}"[:100]
        if name in fields:
            found += _faults(place, each, fields[name])
        else:
            hint = did_you_mean(str(name), fields) if len(found) < HINTS else ""
            found.append(FieldProblem(place, "there is no such field" + (f" ({hint})" if hint else "")))
    return found


def _element_faults(field: str, alone: Any, kind: Any) -> Sequence[FieldProblem]:
    try:
        msgspec.convert(alone, kind)
        return ()
    except msgspec.ValidationError as error:
        found = _AT.search(str(error))
        return [FieldProblem(field, _plain(str(error)))] if found else ()


def _choices(message: str, kind: Any) -> str:
    """What may stand there, where it is one of a few words."""
    arms = (kind,) if get_origin(kind) is Literal else get_args(kind)
    words = [repr(word) for arm in arms if get_origin(arm) is Literal for word in get_args(arm)]
    if not words or not message.startswith("Invalid enum value"):
        return ""
    *others, last = ["a number", *words] if int in arms else words
    return f"; expected {', '.join(others)} or {last}" if others else f"; expected {last}"


def _plain(message: str) -> str:
    """msgspec's words in ours: ``Expected `array | null`, got `int` `` → expected a list or null, got …."""
    message = _AT.sub("", message)
    message = re.sub(
        r"`([a-z |]+)`",
        lambda found: " or ".join(_WORDS.get(each, each) for each in found[1].split(" | ")),
        message,
    )
    return message[:1].lower() + message[1:]
