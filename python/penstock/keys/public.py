"""How keys, teams, tokens and times are written where others read them: never a secret, never a hash."""

from __future__ import annotations

import datetime
from typing import overload

import msgspec

from penstock.keys.model import AdminToken, Key, Row, Team
from penstock.limits.written import write_limits

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_LAST = datetime.datetime.max.replace(tzinfo=datetime.UTC)


@overload
def rfc3339(us: int) -> str: ...
@overload
def rfc3339(us: int | None) -> str | None: ...
def rfc3339(us: int | None) -> str | None:
    """Microseconds UTC as people and programs write them; None stays None."""
    if us is None:
        return None
    try:
        at = _EPOCH + datetime.timedelta(microseconds=us)
    except OverflowError:
        at = _LAST  # beyond the year 9999: written by somebody past us
    return at.isoformat(timespec="microseconds" if at.microsecond else "seconds").replace("+00:00", "Z")


def recorded(row: Row | None) -> dict[str, object] | None:
    """A row as the record of a change keeps it."""
    match row:
        case None:
            return None
        case Key():
            return {
                "name": row.name,
                "team": row.team,
                "owner": row.owner,
                **_lists(row),
                "limits": _limits(row),
                "expires": rfc3339(row.expires_us),
                "state": row.state,
                "tags": dict(row.tags),
                "content": row.content,
                "secrets": [{"generation": each.generation, "until": rfc3339(each.until_us)} for each in row.secrets],
                "cut": rfc3339(row.cut_us),
            }
        case Team():
            return {
                "name": row.name,
                **_lists(row),
                "limits": _limits(row),
                "state": row.state,
                "tags": dict(row.tags),
                "content": row.content,
            }
        case AdminToken():
            return {"name": row.name, "role": row.role}


def _lists(row: Key | Team) -> dict[str, object]:
    found = {"models": row.models, "paths": row.paths, "networks": row.networks}
    return {name: None if values is None else list(values) for name, values in found.items()}


def _limits(row: Key | Team) -> object:
    text = write_limits(row.limits, row.limits_rest)
    try:
        return None if text is None else msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return text
