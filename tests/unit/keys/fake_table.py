"""A small model of native's key table: the slow, readable twin that tests hold the Python side against."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from penstock.limits.policy import Policy
from penstock.policy.key_table import FORMAT, Access, Batch, KeyRow, Tags, TeamRow

Known = Literal["right", "wrong", "unknown", "unverified", "disabled", "expired", "away"]


def digest_of(secret: str, digest_key: bytes = b"of this node") -> str:
    """Stands in for BLAKE3, which the standard library lacks."""
    return hashlib.blake2b(secret.encode(), key=digest_key, digest_size=32).hexdigest()


@dataclass
class FakeTable:
    """An engine as far as keys need one; `batches` counts what was put, `refuses` names ids that are refused."""

    keys: dict[str, KeyRow] = field(default_factory=dict)
    teams: dict[str, TeamRow] = field(default_factory=dict)
    access: dict[str, Access] = field(default_factory=dict)
    limits: dict[str, Policy | None] = field(default_factory=dict)
    tags: dict[str, Tags] = field(default_factory=dict)
    digests: dict[tuple[str, int], str] = field(default_factory=dict)
    current: bool = False
    resets: int = 0
    settled: int = 0
    largest: int = 0
    used: dict[str, int] = field(default_factory=dict)
    refuses: set[str] = field(default_factory=set)

    def digest(self, credential: str) -> str:
        return digest_of(credential)

    def put_keys(self, batch: bytes) -> None:
        read = msgspec.json.decode(batch, type=Batch)
        if read.format != FORMAT:
            raise ValueError(f"keys: format {read.format}")
        rows: list[KeyRow | TeamRow] = [*read.teams, *read.keys]
        for row in rows:
            if row.id in self.refuses:
                raise ValueError("keys: the fake table refuses it")
            if row.state != "deleted" and row.access >= len(read.access):
                raise ValueError(f"keys: there is no access {row.access}")
            if row.state != "deleted" and row.limits is not None and row.limits >= len(read.limits):
                raise ValueError(f"keys: there are no limits {row.limits}")
            if row.state != "deleted" and row.tags is not None and row.tags >= len(read.tags):
                raise ValueError(f"keys: there are no tags {row.tags}")
        self.largest = max(self.largest, len(read.keys) + len(read.teams))
        if read.reset:
            self.keys.clear()
            self.teams.clear()
            self.digests.clear()
            self.settled = 0
            self.resets += 1
        for team in read.teams:
            if team.id not in self.teams or self.teams[team.id].version < team.version:
                self.teams[team.id] = team
                self._note(team, read)
        for key in read.keys:
            self._put(key, read)
        for learnt in read.digests:
            known = self.keys.get(learnt.key)
            if known is not None and learnt.generation in [each.generation for each in known.secrets]:
                self.digests[learnt.key, learnt.generation] = learnt.digest
        if read.settled:
            self.settled = max(self.settled, read.settled)
            self.keys = {id: row for id, row in self.keys.items() if _is_needed(row, read.settled)}
            self.teams = {id: row for id, row in self.teams.items() if _is_needed(row, read.settled)}

    def keys_current(self, current: bool) -> None:
        self.current = current

    def used_keys(self) -> bytes:
        used, self.used = self.used, {}
        return msgspec.json.encode(used)

    def check(self, id: str, digest: str, now_us: int) -> Known:
        """What native would answer, or that it would ask."""
        row = self.keys.get(id)
        if row is None:
            return "unknown" if self.current else "away"
        if row.state == "deleted":
            return "unknown"
        live = [each for each in row.secrets if each.until_us is None or now_us < each.until_us]
        known = [self.digests.get((id, each.generation)) for each in live]
        if digest not in known:
            return "unverified" if None in known else "wrong"
        if row.state == "disabled":
            return "disabled"
        if row.expires_us is not None and row.expires_us <= now_us:
            return "expired"
        if row.team is not None:
            team = self.teams.get(row.team)
            if team is None:
                return "away"
            if team.state != "active":
                return "disabled"
        return "right"

    def _put(self, key: KeyRow, batch: Batch) -> None:
        known = self.keys.get(key.id)
        if known is not None and known.version >= key.version:
            return
        generations = [each.generation for each in key.secrets]
        for id, generation in list(self.digests):
            if id == key.id and generation not in generations:
                del self.digests[id, generation]
        for each in key.secrets:
            if each.digest is not None:
                self.digests[key.id, each.generation] = each.digest
        self.keys[key.id] = key
        self._note(key, batch)

    def _note(self, row: KeyRow | TeamRow, batch: Batch) -> None:
        if row.state != "deleted":
            self.access[row.id] = batch.access[row.access]
            self.limits[row.id] = None if row.limits is None else batch.limits[row.limits]
            self.tags[row.id] = () if row.tags is None else batch.tags[row.tags]


def _is_needed(row: KeyRow | TeamRow, settled: int) -> bool:
    return row.state != "deleted" or row.version > settled
