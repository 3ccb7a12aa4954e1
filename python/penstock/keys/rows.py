"""From rows of the store to what is kept in `data_dir` and what native's key table takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from penstock.keys.model import AdminToken, Key, Row, Team
from penstock.limits.policy import Limits, Policy, policy_of
from penstock.limits.written import read_limits, unreadable, write_limits
from penstock.policy.key_table import FORMAT, Access, Batch, Digest, KeyRow, Secret, Tags, TeamRow

ROWS_AT_ONCE = 5_000
"""Rows of one batch at most: native takes a batch whole."""


class KeptKey(Struct, frozen=True, array_like=True):
    """A key as far as requests need it: no hash, no name."""

    id: str
    version: int
    state: str
    team: str | None = None
    access: Access = Access(None, None, None)
    expires_us: int | None = None
    cut_us: int | None = None
    secrets: tuple[Secret, ...] = ()
    limits: Limits | None = None
    limits_rest: str | None = None
    """What the release that kept it could not read; a later one may."""
    tags: Tags = ()
    content: bool = True


class KeptTeam(Struct, frozen=True, array_like=True):
    """A team as far as requests need it."""

    id: str
    version: int
    name: str
    state: str
    access: Access = Access(None, None, None)
    limits: Limits | None = None
    limits_rest: str | None = None
    tags: Tags = ()
    content: bool = True


Kept = KeptKey | KeptTeam | AdminToken


def keep(row: Row) -> Kept:
    """What is kept of a row. Nothing in it helps to guess a secret."""
    match row:
        case Key() if row.state == "deleted":
            return KeptKey(row.id, row.version, row.state)
        case Key():
            secrets = tuple(Secret(each.generation, each.until_us, None) for each in row.secrets)
            access = Access(row.models, row.paths, row.networks)
            return KeptKey(
                row.id, row.version, row.state, row.team, access, row.expires_us, row.cut_us, secrets,
                row.limits, row.limits_rest, _sorted(row.tags), row.content,
            )  # fmt: skip
        case Team() if row.state == "deleted":
            return KeptTeam(row.id, row.version, "", row.state)
        case Team():
            access = Access(row.models, row.paths, row.networks)
            tags = _sorted(row.tags)
            return KeptTeam(
                row.id, row.version, row.name, row.state, access, row.limits, row.limits_rest, tags, row.content
            )
        case _:
            return row


def closed(row: KeptKey | KeptTeam) -> KeptKey | KeptTeam:
    """What stands in for a row that cannot be read: nobody may use it, and nothing of it is guessed."""
    state = "deleted" if row.state == "deleted" else "disabled"
    return msgspec.structs.replace(row, state=state, access=Access((), (), ()), limits=None, limits_rest=None, tags=())


def batch_of(rows: Iterable[Kept], *, reset: bool = False, settled: int = 0) -> Batch:
    """At most `ROWS_AT_ONCE` rows as one batch; admin tokens do not concern native.

    Raises ValueError for limits that cannot be read: somebody wrote them past us, or a later release did.
    """
    indexes: dict[Access, int] = {}
    policies = _Policies()
    tagged: dict[Tags, int] = {}
    keys: list[KeyRow] = []
    teams: list[TeamRow] = []
    for row in rows:
        if isinstance(row, KeptKey):
            access = indexes.setdefault(row.access, len(indexes))
            limits = policies.index(_limits(row))
            tags = tagged.setdefault(row.tags, len(tagged)) if row.tags else None
            keys.append(
                KeyRow(
                    row.id, row.version, row.state, row.team, access, limits, tags, row.content, row.expires_us,
                    row.cut_us, row.secrets,
                )
            )  # fmt: skip
        elif isinstance(row, KeptTeam):
            access = indexes.setdefault(row.access, len(indexes))
            limits = policies.index(_limits(row))
            tags = tagged.setdefault(row.tags, len(tagged)) if row.tags else None
            teams.append(TeamRow(row.id, row.version, row.name, row.state, access, limits, tags, row.content))
    return Batch(
        FORMAT, tuple(indexes), tuple(policies.found), tuple(tagged), tuple(teams), tuple(keys), (), reset, settled
    )


def _sorted(tags: dict[str, str]) -> Tags:
    return tuple(sorted(tags.items()))


def digest_batch(key: str, generation: int, digest: str) -> Batch:
    """One verified secret as a batch."""
    return Batch(FORMAT, digests=(Digest(key, generation, digest),))


def _limits(row: KeptKey | KeptTeam) -> Limits | None:
    if row.limits_rest is None:
        return row.limits
    limits, rest = read_limits(write_limits(row.limits, row.limits_rest))
    if why := unreadable(limits, rest):
        raise ValueError(why)
    return limits


class _Policies:
    """Limits of many rows, each different meaning once."""

    def __init__(self) -> None:
        self.found: dict[Policy, int] = {}
        self._known: dict[Limits, int] = {}

    def index(self, limits: Limits | None) -> int | None:
        if limits is None:
            return None
        if (known := self._known.get(limits)) is None:
            known = self.found.setdefault(policy_of(limits), len(self.found))
            self._known[limits] = known
        return known


def in_batches(rows: Sequence[Kept]) -> Iterable[Sequence[Kept]]:
    """Cuts rows into as many as one batch may hold."""
    return (rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE))


encode: Any = msgspec.json.Encoder().encode
