"""What a store keeps: keys, teams, admin tokens, and the changes made to them."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from penstock.limits.policy import Limits

State = Literal["active", "disabled", "deleted"]
"""`deleted` is a tombstone: it keeps id and version so that every node hears of it, and nothing else."""

Role = Literal["admin", "viewer"]


class Secret(Struct, frozen=True, kw_only=True):
    """One secret of a key. A generation is never given to another secret of the same key."""

    generation: int
    hash: str
    """Argon2id in PHC format, or `sha256:<64 hex digits>` of an imported key that nobody has used yet."""
    until_us: int | None = None
    """When it ends (UTC, microseconds since 1970); None: with the key."""

    def __repr__(self) -> str:
        return f"Secret(generation={self.generation}, until_us={self.until_us})"


class Key(Struct, frozen=True, kw_only=True):
    """Who asks. In `models`, `paths` and `networks` None allows all and an empty list nothing."""

    id: str
    name: str
    team: str | None = None
    """The id of the team that owns it."""
    owner: str | None = None
    models: tuple[str, ...] | None = None
    """Names as asked for; `*` stands for any characters."""
    paths: tuple[str, ...] | None = None
    """Paths of the data port without `/v1`; `*` stands for any characters."""
    networks: tuple[str, ...] | None = None
    """CIDR, against the client's address."""
    limits: Limits | None = None
    """Of its own; a kind that it does not set comes from the default."""
    limits_rest: str | None = None
    """JSON of what this release cannot read of its limits, kept as it stands."""
    expires_us: int | None = None
    state: State = "active"
    tags: dict[str, str] = {}
    content: bool = True
    """False: texts of its requests are not recorded, whatever is configured."""
    created_us: int = 0
    last_used_us: int | None = None
    cut_us: int | None = None
    """Requests of this key that began before this moment are ended."""
    secrets: tuple[Secret, ...] = ()
    version: int = 0
    """Of the change that wrote this row; from the store's one counter."""


class Team(Struct, frozen=True, kw_only=True):
    """Owns keys; what both allow is allowed, and its limits are a pool that its keys share."""

    id: str
    name: str
    models: tuple[str, ...] | None = None
    paths: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None
    limits: Limits | None = None
    limits_rest: str | None = None
    state: State = "active"
    tags: dict[str, str] = {}
    content: bool = True
    """False: the same for all of its keys."""
    created_us: int = 0
    version: int = 0


class AdminToken(Struct, frozen=True, kw_only=True):
    """A further token of the admin port."""

    id: str
    name: str
    role: Role
    digest: str
    """SHA-256 of the token in hex; a token has 256 random bits, so that a slow hash would add nothing."""
    state: State = "active"
    created_us: int = 0
    version: int = 0

    def __repr__(self) -> str:
        return f"AdminToken(id={self.id!r}, name={self.name!r}, role={self.role!r}, state={self.state!r})"


Row = Key | Team | AdminToken


class Change(Struct, frozen=True, kw_only=True):
    """One administrative change: who did what, and the row before and after, without secrets."""

    id: str
    """Random, made by whoever asks for the change: by it a retry sees that it was made already."""
    at_us: int
    actor: str
    action: str
    """Such as `key.create`, `key.rotate`, `team.update`, `token.delete`."""
    subject: str
    """The id of the key, team or token."""
    before: dict[str, object] | None
    after: dict[str, object] | None
    version: int = 0
    """Given by the store: the version of the row that the change wrote."""
