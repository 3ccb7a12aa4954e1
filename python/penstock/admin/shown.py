"""Rows of the store as the admin API shows them: never a secret, never a hash."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import asdict

from penstock.admin.shapes import (
    Allowed,
    ChangeShape,
    IssuedKey,
    IssuedTokenShape,
    KeptSecret,
    KeyShape,
    Part,
    TeamName,
    TeamShape,
    TokenShape,
)
from penstock.keys.model import AdminToken, Change, Key, State, Team
from penstock.keys.public import rfc3339


def shown_key(key: Key, team: Team | None) -> KeyShape:
    """A key, and what it may do in the end; `team` is the one that owns it."""
    return KeyShape(
        id=key.id,
        name=key.name,
        team=TeamName(team.id, team.name) if team else None,
        owner=key.owner,
        models=key.models,
        paths=key.paths,
        networks=key.networks,
        limits=key.limits,
        expires=rfc3339(key.expires_us),
        state=_state(key.state),
        tags=key.tags,
        content=key.content,
        created=rfc3339(key.created_us),
        last_used=rfc3339(key.last_used_us),
        secrets=tuple(KeptSecret(each.generation, rfc3339(each.until_us)) for each in key.secrets),
        allowed=allowed(key, team),
        version=key.version,
    )


def issued_key(key: Key, team: Team | None, secret: str | None) -> IssuedKey:
    """A key with its new secret; None when the caller brought it."""
    return IssuedKey(**asdict(shown_key(key, team)), key=secret)


def allowed(key: Key, team: Team | None) -> Allowed:
    """Where each list comes from; what is allowed is in every list. No list: all is allowed."""
    return Allowed(
        models=_parts(key.models, team.models if team else None),
        paths=_parts(key.paths, team.paths if team else None),
        networks=_parts(key.networks, team.networks if team else None),
    )


def shown_team(team: Team) -> TeamShape:
    """A team."""
    return TeamShape(
        id=team.id,
        name=team.name,
        models=team.models,
        paths=team.paths,
        networks=team.networks,
        limits=team.limits,
        state=_state(team.state),
        tags=team.tags,
        content=team.content,
        created=rfc3339(team.created_us),
        version=team.version,
    )


def shown_token(token: AdminToken) -> TokenShape:
    """An admin token."""
    created = rfc3339(token.created_us)
    return TokenShape(id=token.id, name=token.name, role=token.role, created=created, version=token.version)


def issued_token(token: AdminToken, text: str) -> IssuedTokenShape:
    """An admin token with its text."""
    return IssuedTokenShape(**asdict(shown_token(token)), token=text)


def shown_change(change: Change) -> ChangeShape:
    """Who did what."""
    return ChangeShape(
        version=change.version,
        at=rfc3339(change.at_us),
        actor=change.actor,
        action=change.action,
        subject=change.subject,
        before=change.before,
        after=change.after,
    )


def _parts(of_key: tuple[str, ...] | None, of_team: tuple[str, ...] | None) -> tuple[Part, ...]:
    sources: tuple[tuple[Literal["key", "team"], tuple[str, ...] | None], ...] = (("key", of_key), ("team", of_team))
    return tuple(Part(origin, names) for origin, names in sources if names is not None)


def _state(state: State) -> Literal["active", "disabled"]:
    """Tombstones are never shown."""
    return "active" if state == "active" else "disabled"
