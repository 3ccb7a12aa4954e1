"""Batches of rows for native's key table, field for field what native/core/src/keys/batch.rs reads."""

from __future__ import annotations

from msgspec import Struct

from penstock.limits.policy import Policy

Tags = tuple[tuple[str, str], ...]
"""Names and values, by name: what records of a key's requests say of it."""


class Access(Struct, frozen=True, forbid_unknown_fields=True):
    """What is allowed; None: all. Native keeps equal ones once."""

    models: tuple[str, ...] | None
    paths: tuple[str, ...] | None
    networks: tuple[str, ...] | None


class Secret(Struct, frozen=True, forbid_unknown_fields=True):
    """One secret; without a digest it has not been verified yet. A digest once known is kept for its generation."""

    generation: int
    until_us: int | None
    digest: str | None
    """Keyed BLAKE3 of the secret, 64 hex digits, as `Engine.digest` makes it by the key in `data_dir/digest.key`."""

    def __repr__(self) -> str:
        return f"Secret(generation={self.generation}, known={self.digest is not None})"


class KeyRow(Struct, frozen=True, forbid_unknown_fields=True):
    """A key; `access`, `limits`, `tags` are indexes into the batch's lists. If `deleted` only id and version count."""

    id: str
    version: int
    state: str
    team: str | None
    access: int
    limits: int | None
    """Of its own; None: it has the default's."""
    tags: int | None
    content: bool
    """Texts of its requests may be recorded, where any are."""
    expires_us: int | None
    cut_us: int | None
    secrets: tuple[Secret, ...]


class TeamRow(Struct, frozen=True, forbid_unknown_fields=True):
    """A team, as a key."""

    id: str
    version: int
    name: str
    state: str
    access: int
    limits: int | None
    tags: int | None
    content: bool


class Digest(Struct, frozen=True, forbid_unknown_fields=True):
    """A secret has been verified: from now on native knows it."""

    key: str
    generation: int
    digest: str

    def __repr__(self) -> str:
        return f"Digest(key={self.key!r}, generation={self.generation})"


class Batch(Struct, frozen=True, forbid_unknown_fields=True):
    """Applied row by row, teams first: of two rows with one id the higher version stays, whichever came first."""

    format: int
    access: tuple[Access, ...] = ()
    limits: tuple[Policy, ...] = ()
    tags: tuple[Tags, ...] = ()
    teams: tuple[TeamRow, ...] = ()
    keys: tuple[KeyRow, ...] = ()
    digests: tuple[Digest, ...] = ()
    reset: bool = False
    """Forget every row first: another store, or one that lost data. After `keys_current(False)` a key that a later
    batch brings is answered 503 until then."""
    settled: int = 0
    """Nothing of this version or an older one comes any more: tombstones up to it may go."""


FORMAT = 4
