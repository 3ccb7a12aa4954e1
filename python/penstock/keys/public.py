"""What may be shown of keys, teams, tokens and changes: never a secret, never a hash."""

from __future__ import annotations

import datetime

from penstock.keys.model import AdminToken, Change, Key, Row, Team

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def rfc3339(us: int | None) -> str | None:
    """Microseconds UTC as people and programs write them."""
    if us is None:
        return None
    try:
        at = _EPOCH + datetime.timedelta(microseconds=us)
    except OverflowError:
        return None  # beyond the year 9999: written by somebody past us
    return at.isoformat(timespec="microseconds" if us % 1_000_000 else "seconds").replace("+00:00", "Z")


def key_json(key: Key, team: Team | None) -> dict[str, object]:
    """A key, and what it may do in the end; `team` is the one that owns it."""
    return {
        "id": key.id,
        "name": key.name,
        "team": {"id": team.id, "name": team.name} if team else None,
        **_key_fields(key),
        "created": rfc3339(key.created_us),
        "last_used": rfc3339(key.last_used_us),
        "allowed": allowed(key, team),
        "version": key.version,
    }


def allowed(key: Key, team: Team | None) -> dict[str, list[dict[str, object]]]:
    """Where each limit comes from; what is allowed is in every list. No list: all is allowed."""
    found: dict[str, list[dict[str, object]]] = {}
    for field in ("models", "paths", "networks"):
        sources = [("key", getattr(key, field)), ("team", getattr(team, field) if team else None)]
        found[field] = [{"from": source, "list": list(values)} for source, values in sources if values is not None]
    return found


def team_json(team: Team) -> dict[str, object]:
    """A team."""
    return {
        "id": team.id,
        "name": team.name,
        **_team_fields(team),
        "created": rfc3339(team.created_us),
        "version": team.version,
    }


def token_json(token: AdminToken) -> dict[str, object]:
    """An admin token."""
    created = rfc3339(token.created_us)
    return {"id": token.id, "name": token.name, "role": token.role, "created": created, "version": token.version}


def change_json(change: Change) -> dict[str, object]:
    """Who did what."""
    return {
        "version": change.version,
        "at": rfc3339(change.at_us),
        "actor": change.actor,
        "action": change.action,
        "subject": change.subject,
        "before": change.before,
        "after": change.after,
    }


def recorded(row: Row | None) -> dict[str, object] | None:
    """A row as the record of a change keeps it."""
    match row:
        case None:
            return None
        case Key():
            return {"name": row.name, "team": row.team, **_key_fields(row), "cut": rfc3339(row.cut_us)}
        case Team():
            return {"name": row.name, **_team_fields(row)}
        case AdminToken():
            return {"name": row.name, "role": row.role}


def _key_fields(key: Key) -> dict[str, object]:
    return {
        "owner": key.owner,
        "models": _list(key.models),
        "paths": _list(key.paths),
        "networks": _list(key.networks),
        "expires": rfc3339(key.expires_us),
        "state": key.state,
        "tags": dict(key.tags),
        "secrets": [{"generation": each.generation, "until": rfc3339(each.until_us)} for each in key.secrets],
    }


def _team_fields(team: Team) -> dict[str, object]:
    return {
        "models": _list(team.models),
        "paths": _list(team.paths),
        "networks": _list(team.networks),
        "state": team.state,
        "tags": dict(team.tags),
    }


def _list(values: tuple[str, ...] | None) -> list[str] | None:
    return None if values is None else list(values)
