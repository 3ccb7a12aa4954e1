"""What the admin API answers with, as types: OpenAPI is made from them."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from penstock.keys.model import Role
from penstock.limits.policy import Kind, Limits, Scope

ItemT = TypeVar("ItemT")
Origin = Literal["key", "team", "default", "model", "provider", "global"]
"""Who sets a limit."""
Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


class TeamName(Struct, frozen=True):
    """The team that owns a key."""

    id: str
    name: str


class KeptSecret(Struct, frozen=True):
    """One secret of a key, without the secret; `until` null ends with the key."""

    generation: int
    until: Moment | None


class Part(Struct, frozen=True, rename={"origin": "from"}):
    """A list that a key's requests must fit, and who sets it; what all of them allow is allowed."""

    origin: Literal["key", "team"]
    list: tuple[str, ...]


class Allowed(Struct, frozen=True):
    """What is in force for a key. Without an entry everything is allowed."""

    models: tuple[Part, ...]
    paths: tuple[Part, ...]
    networks: tuple[Part, ...]


class KeyShape(Struct, frozen=True, kw_only=True):
    """A key. `models`, `paths` and `networks`: null allows all, an empty list nothing. `limits` are its own. With
    `content` false texts of its requests are not recorded, whatever is configured.
    """

    id: str
    name: str
    team: TeamName | None
    owner: str | None
    models: tuple[str, ...] | None
    paths: tuple[str, ...] | None
    networks: tuple[str, ...] | None
    limits: Limits | None
    expires: Moment | None
    state: Literal["active", "disabled"]
    tags: dict[str, str]
    content: bool
    created: Moment
    last_used: Moment | None
    secrets: tuple[KeptSecret, ...]
    allowed: Allowed
    version: int


class IssuedKey(KeyShape, frozen=True, kw_only=True):
    """A key with its secret, which is shown this once; null when the caller brought it."""

    key: str | None


class TeamShape(Struct, frozen=True, kw_only=True):
    """A team. `models`, `paths` and `networks`: null allows all, an empty list nothing. Its keys share `limits`, and
    `content` false holds for all of them.
    """

    id: str
    name: str
    models: tuple[str, ...] | None
    paths: tuple[str, ...] | None
    networks: tuple[str, ...] | None
    limits: Limits | None
    state: Literal["active", "disabled"]
    tags: dict[str, str]
    content: bool
    created: Moment
    version: int


class LimitShape(Struct, frozen=True, kw_only=True, rename={"origin": "from"}):
    """One limit in force, and what this node has counted, where limits are shared with what it knows of the others:
    requests, tokens, nano-dollars, or requests at once. Of `used`, `remaining` and `reset_ms`, which is when all of it
    is free again, null says that no node runs here.
    """

    kind: Kind
    limit: str
    amount: int
    used: int | None
    remaining: int | None
    reset_ms: int | None
    origin: Origin


class LimitsShape(Struct, frozen=True, kw_only=True):
    """The limits in force in one place; `name` is the id of a key or team, empty for `global`. With a `problem` it is
    not known what they are, as they cannot be read, and the key or team counts as disabled.
    """

    scope: Scope
    name: str
    limits: tuple[LimitShape, ...]
    problem: str | None


class ResetShape(Struct, frozen=True, kw_only=True):
    """What was counted in one place is forgotten; `reset` is false where nothing was counted."""

    scope: Scope
    name: str
    reset: bool


class TokenShape(Struct, frozen=True, kw_only=True):
    """An admin token of the store, without the token."""

    id: str
    name: str
    role: Role
    created: Moment
    version: int


class IssuedTokenShape(TokenShape, frozen=True, kw_only=True):
    """An admin token, shown this once."""

    token: str


class ChangeShape(Struct, frozen=True, kw_only=True):
    """Who did what to which key, team or token, and how it was before and after."""

    version: int
    at: Moment
    actor: str
    action: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Listing(Struct, Generic[ItemT], frozen=True):
    """A piece of a listing; `next` is the cursor of the following one, null at the end."""

    items: tuple[ItemT, ...]
    next: str | None


class ImportedKeys(Struct, frozen=True):
    """The ids of keys that an import made, and of those that were there already."""

    created: tuple[str, ...]
    unchanged: tuple[str, ...]


class Reloaded(Struct, frozen=True):
    """The configuration was read again; `warnings` names what waits for a restart."""

    reloaded: bool
    warnings: tuple[str, ...]


class Fault(Struct, frozen=True):
    """One thing to mend; in a configuration with its place and a hint, which may be empty."""

    field: str
    message: str
    hint: str | UnsetType = UNSET
    file: str | UnsetType = UNSET
    line: int | UnsetType = UNSET
    column: int | UnsetType = UNSET


class Problem(Struct, frozen=True, kw_only=True):
    """Problem details (RFC 9457) with a stable `code`; `errors` lists everything that is wrong."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: tuple[Fault, ...] = ()
