"""What every store does, and how it fails; one conformance suite holds all of them to it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, TypeVar

from msgspec import Struct

from penstock.keys.model import AdminToken, Change, Key, Row, Team

RowT = TypeVar("RowT", Key, Team, AdminToken)


class StoreError(Exception):
    """Base of what a store raises; the text is for people and holds no secret."""


class StoreAwayError(StoreError):
    """The store does not answer. Nothing was changed, unless it is `in_doubt`."""

    def __init__(self, message: str, *, in_doubt: bool = False) -> None:
        super().__init__(message)
        self.in_doubt = in_doubt
        """The change was made whole or not at all, and nobody can tell which: the store fell silent when it was told to
        commit. A retry with the same `change.id` tells."""


class StoreHeldError(StoreAwayError):
    """Somebody else held for too long what had to be locked. Nothing was changed; it may be free in a moment."""


class StoreRefusedError(StoreError):
    """The store is there and cannot be used as it is: wrong schema, no rights, wrong password."""


class ConflictError(StoreError):
    """The row is no longer what the caller saw, its name is taken, or what it refers to is missing.

    `reason` is `changed`, `exists`, `name_taken`, `team_missing` or `team_has_keys`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Delta(Struct, frozen=True):
    """Rows written after a version, tombstones included, oldest first."""

    version: int
    """All changes up to here are in `rows` or were seen before; ask from here next."""
    rows: tuple[Row, ...]
    more: bool
    """A bound cut the answer; ask again at once."""
    change: str | None = None
    """The id of the change of that version, where it came with the answer."""


class Filter(Struct, frozen=True, kw_only=True):
    """What a listing is narrowed to; None does not narrow. Tombstones are never listed."""

    team: str | None = None
    state: str | None = None
    owner: str | None = None
    name: str | None = None
    """Part of the name, whatever its case."""
    tag: tuple[str, str] | None = None


class Page(Struct, frozen=True):
    """A piece of a listing in the order of ids; `next` is the cursor of the following piece."""

    rows: tuple[Row, ...]
    next: str | None


class Watch(Protocol):
    """Tells when the store was changed by another node."""

    @property
    def hears(self) -> bool:
        """Whether it would tell of a change now, as far as is known here."""

    async def stop(self) -> None:
        """Tells no more; may be called again."""


class Store(Protocol):
    """Keys, teams, admin tokens and changes. Every method may raise `StoreError`; none leaves half a change behind,
    and but for a `StoreAwayError` that is `in_doubt` none a whole one; `touch` and `purge` go piece by piece.

    A call whose connection is cut is made once more on a fresh one; that is safe for reads, for `save` (by the id of
    its change), for `record` and for `touch` (times only rise).
    """

    @property
    def id(self) -> str:
        """Random, made with the schema: tells this store from any other. Known once open."""

    async def open(self, *, migrate: bool) -> list[str]:
        """Connects, checks the schema, and with `migrate` brings it up to date; the names of the migrations made.

        Raises `StoreRefusedError` naming `penstock migrate` when the schema is older and `migrate` is false, or newer
        than the next release's.
        """

    async def close(self) -> None:
        """Lets go of every connection; allowed at any time and more than once."""

    async def changed_since(self, version: int, limit: int) -> Delta:
        """At most `limit` rows in the order of their versions; from 0 that is every row.

        The newest version falls only when data was lost; then it may be below `version`.
        """

    async def save(self, row: Row, expected: int | None, change: Change) -> int:
        """Writes a row and its change in one transaction; the version given to both.

        `expected` is the version the caller saw, None for a new row. A row in state `deleted` becomes a tombstone: its
        secrets go and its name is free. Raises `ConflictError`. A retry with the same `change.id` changes nothing and
        returns the first call's version.
        """

    async def record(self, change: Change) -> int:
        """Writes a change that no row tells of; its version. A retry with the same `change.id` changes nothing."""

    async def replace_hash(self, key: str, generation: int, old: str, new: str) -> bool:
        """Exchanges a secret's hash for another of the same secret, if it is still `old`. No version is taken."""

    async def touch(self, used_us: Mapping[str, int]) -> None:
        """Raises keys' `last_used_us`; unknown ids are passed over. No version."""

    async def get(self, kind: type[RowT], id: str) -> RowT | None:
        """One row; None for an unknown id and for a tombstone."""

    async def get_many(self, kind: type[RowT], ids: Collection[str]) -> Mapping[str, RowT]:
        """The rows that `get` would give, by their ids, in one call."""

    async def find_team(self, name: str) -> Team | None:
        """The team of that name."""

    async def list(self, kind: type[RowT], filter: Filter, after: str | None, limit: int) -> Page:
        """At most `limit` rows whose id is greater than `after`, in the order of ids."""

    async def changes(self, subject: str | None, before: int | None, limit: int) -> Sequence[Change]:
        """Newest first, those of one subject or all; `before` is a version to go on from."""

    async def now_us(self) -> int:
        """The time that the store has."""

    async def purge(self, before_us: int) -> int:
        """Removes tombstones that are older; how many. One is as old as its change or the store's clock has it,
        whichever is less."""

    async def watch(self, woken: Callable[[], None]) -> Watch:
        """Calls `woken` when another node may have changed something, where the store can tell, until it is stopped.

        Only hastens: whoever watches polls as well, less often while it is heard. Never raises.
        """
