"""Rows of a table from and to the structs of keys/model.py; the same for every SQL store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from penstock.keys.model import AdminToken, Change, Key, Row, Secret, Team
from penstock.limits.written import read_limits, write_limits
from penstock.store.database import Value
from penstock.store.interface import StoreRefusedError

Values = tuple[Value, ...]
_encode = msgspec.json.Encoder().encode
_names = msgspec.json.Decoder(tuple[str, ...])
_tags = msgspec.json.Decoder(dict[str, str])
_secrets = msgspec.json.Decoder(tuple[tuple[int, str, int | None], ...])
_plain = msgspec.json.Decoder(dict[str, object])


class Shape(Struct, frozen=True):
    """A kind's table: its columns in the order of `write`'s values, and how a row of them is read."""

    table: str
    columns: tuple[str, ...]
    write: Callable[[Any, int | None], Values]
    """The row and when it became a tombstone."""
    read: Callable[[Sequence[Any]], Row]
    """The columns, behind them the secrets of a key."""


def tombstone(row: Row) -> Row:
    """What is left of a row that is deleted."""
    match row:
        case Key():
            return Key(id=row.id, name="", state="deleted", version=row.version)
        case Team():
            return Team(id=row.id, name="", state="deleted", version=row.version)
        case AdminToken():
            return AdminToken(id=row.id, name="", role="viewer", digest="", state="deleted", version=row.version)


def fold(text: str) -> str:
    """The text without case, in which names are searched; the same whatever the database's locale."""
    return text.casefold()


def name_hash(name: str) -> str:
    """By which a name is found."""
    return hashlib.sha256(name.encode()).hexdigest()


def secret_rows(text: str) -> dict[int, tuple[str, int | None]]:
    """Generation → hash and end, from the JSON that `Flavour.secrets` gives."""
    return {generation: (hash, until_us) for generation, hash, until_us in _secrets.decode(text)}


def write_change(change: Change, version: int) -> Values:
    """In the order of `CHANGE_COLUMNS`."""
    before, after = _json(change.before), _json(change.after)
    return (version, change.id, change.at_us, change.actor, change.action, change.subject, before, after)


def read_change(values: Sequence[Any]) -> Change:
    """From the order of `CHANGE_COLUMNS`."""
    version, id, at_us, actor, action, subject, before, after = values
    return Change(
        id=id, at_us=at_us, actor=actor, action=action, subject=subject, version=version,
        before=None if before is None else _plain.decode(before),
        after=None if after is None else _plain.decode(after),
    )  # fmt: skip


def read_row(shape: Shape, values: Sequence[Any]) -> Row:
    """Raises `StoreRefusedError` for a row that nobody here wrote."""
    try:
        return shape.read(values)
    except (msgspec.MsgspecError, TypeError, ValueError):
        raise StoreRefusedError(f"{shape.table}: the row {values[0]!r} cannot be read; who wrote it?") from None


def _json(value: object) -> str | None:
    return None if value is None else _encode(value).decode()


def _allowed(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else _names.decode(text)


def _write_content(content: bool) -> int | None:
    """0 where somebody has opted out."""
    return None if content else 0


def _read_content(value: int | None) -> bool:
    return value is None


def _write_key(key: Key, deleted_us: int | None) -> Values:
    return (
        key.id, key.name, fold(key.name), key.team, key.owner,
        _json(key.models), _json(key.paths), _json(key.networks), key.expires_us, key.state, _json(key.tags),
        key.created_us, key.last_used_us, key.cut_us, key.version, deleted_us,
        write_limits(key.limits, key.limits_rest), _write_content(key.content),
    )  # fmt: skip


def _read_key(values: Sequence[Any]) -> Key:
    (id, name, _, team, owner, models, paths, networks, expires_us, state, tags,
     created_us, last_used_us, cut_us, version, _, limits, content, secrets) = values  # fmt: skip
    known, rest = read_limits(limits)
    return Key(
        id=id, name=name, team=team, owner=owner,
        models=_allowed(models), paths=_allowed(paths), networks=_allowed(networks), expires_us=expires_us,
        state=state, tags=_tags.decode(tags), created_us=created_us, last_used_us=last_used_us, cut_us=cut_us,
        secrets=tuple(Secret(generation=g, hash=hash, until_us=until) for g, hash, until in _secrets.decode(secrets)),
        limits=known, limits_rest=rest, content=_read_content(content), version=version,
    )  # fmt: skip


def _write_team(team: Team, deleted_us: int | None) -> Values:
    return (
        team.id, team.name, fold(team.name), name_hash(team.name),
        _json(team.models), _json(team.paths), _json(team.networks), team.state, _json(team.tags),
        team.created_us, team.version, deleted_us, write_limits(team.limits, team.limits_rest),
        _write_content(team.content),
    )  # fmt: skip


def _read_team(values: Sequence[Any]) -> Team:
    id, name, _, _, models, paths, networks, state, tags, created_us, version, _, limits, content = values
    known, rest = read_limits(limits)
    return Team(
        id=id, name=name, models=_allowed(models), paths=_allowed(paths), networks=_allowed(networks),
        limits=known, limits_rest=rest, state=state, tags=_tags.decode(tags), content=_read_content(content),
        created_us=created_us, version=version,
    )  # fmt: skip


def _write_token(token: AdminToken, deleted_us: int | None) -> Values:
    return (
        token.id, token.name, fold(token.name), token.role, token.digest,
        token.state, token.created_us, token.version, deleted_us,
    )  # fmt: skip


def _read_token(values: Sequence[Any]) -> AdminToken:
    id, name, _, role, digest, state, created_us, version, _ = values
    return AdminToken(
        id=id, name=name, role=role, digest=digest, state=state, created_us=created_us, version=version
    )  # fmt: skip


CHANGE_COLUMNS = ("version", "id", "at_us", "actor", "action", "subject", "row_before", "row_after")

KEYS = Shape(
    "penstock_keys",
    ("id", "name", "folded", "team", "owner", "models", "paths", "networks", "expires_us", "state", "tags",
     "created_us", "last_used_us", "cut_us", "version", "deleted_us", "limits", "content"),
    _write_key,
    _read_key,
)  # fmt: skip
TEAMS = Shape(
    "penstock_teams",
    ("id", "name", "folded", "name_hash", "models", "paths", "networks", "state", "tags",
     "created_us", "version", "deleted_us", "limits", "content"),
    _write_team,
    _read_team,
)  # fmt: skip
TOKENS = Shape(
    "penstock_admin_tokens",
    ("id", "name", "folded", "role", "digest", "state", "created_us", "version", "deleted_us"),
    _write_token,
    _read_token,
)

SHAPES: dict[type[Row], Shape] = {Team: TEAMS, Key: KEYS, AdminToken: TOKENS}
