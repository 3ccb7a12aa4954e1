"""A store in memory that keeps the promises of the real ones, and goes away or loses data when a test wants it to."""

from __future__ import annotations

import asyncio
import copy
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from penstock.keys.model import AdminToken, Change, Key, Row, Secret, Team
from penstock.store.interface import ConflictError, Delta, Filter, Page, StoreAwayError, StoreRefusedError

RowT = TypeVar("RowT", Key, Team, AdminToken)


class FakeWatch:
    """Set `hears` to false for one that has lost its way to the store."""

    def __init__(self, watches: list[FakeWatch], woken: Callable[[], None]) -> None:
        self._watches, self.woken = watches, woken
        self.hears = True

    async def stop(self) -> None:
        if self in self._watches:
            self._watches.remove(self)


class FakeStore:
    """Set `away` for an outage, `doubtful` for one that keeps the answers to changes back, `refuses` for a store that
    cannot be used, `tells` to false for one that cannot wake anybody; `clock_us` is its clock, and `calls` lists what
    was asked. Nodes that share one take a `handle` each.
    """

    def __init__(self) -> None:
        self.away = self.doubtful = False
        self.tells = True
        self.refuses = ""
        self.calls: list[str] = []
        self.before_save: Callable[[], None] = lambda: None
        self.clock_us: Callable[[], int] = lambda: time.time_ns() // 1_000
        self._id = os.urandom(8).hex()
        self._opened = self._known = False
        self._rows: dict[tuple[type, str], Row] = {}
        self._deleted_us: dict[tuple[type, str], int] = {}
        self._changes: list[Change] = []
        self._version = 0
        self.watches: list[FakeWatch] = []

    # --- what tests do to it ---

    def copy(self) -> FakeStore:
        """What a backup would hold."""
        kept = copy.copy(self)
        kept._rows, kept._changes = dict(self._rows), list(self._changes)
        kept._deleted_us = dict(self._deleted_us)
        return kept

    def restore(self, backup: FakeStore) -> None:
        """Loses every change since the backup."""
        self._rows, self._changes = dict(backup._rows), list(backup._changes)
        self._deleted_us, self._version = dict(backup._deleted_us), backup._version

    def replace_by_another(self) -> None:
        """As if the configuration named another, empty one."""
        self.restore(FakeStore())
        self._id = os.urandom(8).hex()

    def handle(self) -> FakeStore:
        """The same store as another process has it: open or closed by itself."""
        return _Handle(self)

    def rows(self, kind: type[RowT]) -> dict[str, RowT]:
        """All rows of a kind that are not deleted, whether it is away or not."""
        return {row.id: row for row in self._rows.values() if isinstance(row, kind) and row.state != "deleted"}

    # --- the protocol ---

    @property
    def id(self) -> str:
        if not self._known:
            raise StoreAwayError("the fake store has not been opened yet")
        return self._id

    async def open(self, *, migrate: bool) -> list[str]:
        await self._enter("open")
        self._opened = self._known = True
        return []

    async def close(self) -> None:
        self._opened = False

    async def changed_since(self, version: int, limit: int) -> Delta:
        await self._enter("changed_since")
        rows = sorted((row for row in self._rows.values() if row.version > version), key=lambda row: row.version)
        if len(rows) <= limit:
            newest = next((made.id for made in self._changes if made.version == self._version), None)
            return Delta(self._version, tuple(rows), False, newest)
        return Delta(rows[limit - 1].version, tuple(rows[:limit]), True)

    async def save(self, row: Row, expected: int | None, change: Change) -> int:
        if faults := [*_faults(msgspec.to_builtins(row)), *_faults(msgspec.to_builtins(change))]:
            raise StoreRefusedError(f"cannot be stored: {', '.join(faults)}")
        await self._enter("save")
        self.before_save()
        for made in self._changes:
            if made.id == change.id:
                return made.version
        self._check_conflicts(row, expected)
        self._version += 1
        place = (type(row), row.id)
        if row.state == "deleted":
            self._rows[place] = _tombstone(row, self._version)
            self._deleted_us[place] = max(change.at_us, self.clock_us())
        else:
            self._rows[place] = replace(_merged(row, self._rows.get(place)), version=self._version)
            self._deleted_us.pop(place, None)
        self._changes.append(replace(change, version=self._version))
        for watch in self.watches if self.tells else []:
            watch.woken()
        if self.doubtful:
            raise StoreAwayError("the fake store has fallen silent", in_doubt=True)
        return self._version

    async def record(self, change: Change) -> int:
        await self._enter("record")
        for made in self._changes:
            if made.id == change.id:
                return made.version
        self._version += 1
        self._changes.append(replace(change, version=self._version))
        return self._version

    async def replace_hash(self, key: str, generation: int, old: str, new: str) -> bool:
        await self._enter("replace_hash")
        row = self._rows.get((Key, key))
        if not isinstance(row, Key) or not _is_storable(new):
            return False
        exchanged = [
            Secret(generation=each.generation, hash=new, until_us=each.until_us)
            if (each.generation, each.hash) == (generation, old)
            else each
            for each in row.secrets
        ]
        if (generation, new) not in [(each.generation, each.hash) for each in exchanged]:
            return False
        self._rows[Key, key] = replace(row, secrets=tuple(exchanged))
        return True

    async def touch(self, used_us: Mapping[str, int]) -> None:
        await self._enter("touch")
        for key, at_us in used_us.items():
            row = self._rows.get((Key, key))
            if isinstance(row, Key) and row.state != "deleted" and at_us > (row.last_used_us or -1):
                self._rows[Key, key] = replace(row, last_used_us=at_us)

    async def get(self, kind: type[RowT], id: str) -> RowT | None:
        await self._enter("get")
        row = self._rows.get((kind, id))
        return row if isinstance(row, kind) and row.state != "deleted" else None

    async def get_many(self, kind: type[RowT], ids: Collection[str]) -> Mapping[str, RowT]:
        await self._enter("get_many")
        return {id: row for id, row in self.rows(kind).items() if id in ids}

    async def find_team(self, name: str) -> Team | None:
        await self._enter("find_team")
        return next((team for team in self.rows(Team).values() if team.name == name), None)

    async def list(self, kind: type[RowT], filter: Filter, after: str | None, limit: int) -> Page:
        await self._enter("list")
        rows = [row for id, row in sorted(self.rows(kind).items()) if id > (after or "") and _fits(row, filter)]
        return Page(tuple(rows[:limit]), rows[limit - 1].id if len(rows) > limit else None)

    async def changes(self, subject: str | None, before: int | None, limit: int) -> Sequence[Change]:
        await self._enter("changes")
        found = [
            each
            for each in reversed(self._changes)
            if subject in (None, each.subject) and (before is None or each.version < before)
        ]
        return found[:limit]

    async def now_us(self) -> int:
        await self._enter("now_us")
        return self.clock_us()

    async def purge(self, before_us: int) -> int:
        await self._enter("purge")
        old = [place for place, at_us in self._deleted_us.items() if at_us < before_us]
        for place in old:
            del self._rows[place], self._deleted_us[place]
        return len(old)

    async def watch(self, woken: Callable[[], None]) -> FakeWatch:
        watch = FakeWatch(self.watches, woken)
        self.watches.append(watch)
        return watch

    async def _enter(self, call: str) -> None:
        await asyncio.sleep(0)  # others come in between, as with a real one
        self.calls.append(call)
        if self.refuses:
            raise StoreRefusedError(self.refuses)
        if self.away:
            raise StoreAwayError("the fake store is away")
        if call != "open" and not self._opened:
            raise StoreAwayError(f"the fake store {'is closed' if self._known else 'has not been opened yet'}")

    def _check_conflicts(self, row: Row, expected: int | None) -> None:
        known = self._rows.get((type(row), row.id))
        here = None if known is None or known.state == "deleted" else known
        if expected is None and row.state != "deleted":
            if here is not None:
                raise ConflictError("exists", f"{row.id} exists already")
        elif here is None or here.version != expected:
            raise ConflictError("changed", f"{row.id} was changed by somebody else")
        if row.state == "deleted":
            if isinstance(row, Team) and any(key.team == row.id for key in self.rows(Key).values()):
                raise ConflictError("team_has_keys", f"the team {row.id} owns keys")
            return
        if isinstance(row, Team) and any(
            team.name == row.name and team.id != row.id for team in self.rows(Team).values()
        ):
            raise ConflictError("name_taken", f"there is a team named {row.name!r} already")
        if isinstance(row, Key) and row.team is not None and row.team not in self.rows(Team):
            raise ConflictError("team_missing", f"there is no team {row.team}")


class _Handle(FakeStore):
    """Shares everything with the store that it is of, but whether it is open."""

    _OWN = ("_of", "_opened", "_known")

    def __init__(self, of: FakeStore) -> None:
        self._of = of
        self._opened = self._known = False

    def __getattribute__(self, name: str) -> Any:
        if name in _Handle._OWN or hasattr(type(self), name):
            return super().__getattribute__(name)
        return getattr(self._of, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _Handle._OWN or hasattr(type(self), name):
            super().__setattr__(name, value)
        else:
            setattr(self._of, name, value)


def _tombstone(row: Row, version: int) -> Row:
    match row:
        case Key():
            return Key(id=row.id, name="", state="deleted", version=version)
        case Team():
            return Team(id=row.id, name="", state="deleted", version=version)
        case _:
            return AdminToken(id=row.id, name="", role="viewer", digest="", state="deleted", version=version)


def _merged(row: Row, known: Row | None) -> Row:
    """What a save leaves as it is: hashes of generations that are there, and a later time of use."""
    if not isinstance(row, Key):
        return row
    before = known if isinstance(known, Key) else row
    hashes = {each.generation: each.hash for each in before.secrets}
    secrets = sorted(row.secrets, key=lambda secret: secret.generation)
    kept = tuple(replace(each, hash=hashes.get(each.generation, each.hash)) for each in secrets)
    used_us = max(row.last_used_us or -1, before.last_used_us or -1)
    return replace(row, secrets=kept, last_used_us=None if used_us < 0 else used_us)


def _is_storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _faults(value: Any, path: str = "") -> Iterator[str]:
    """Fields that no database can hold."""
    match value:
        case str() if not _is_storable(value):
            yield path
        case str() if path.strip(".") in ("id", "subject") and not 1 <= len(value) <= 200:
            yield path
        case int() if abs(value) >= 2**63:
            yield path
        case dict():
            for name, each in value.items():
                yield from _faults(name, f"{path}.names")
                yield from _faults(each, f"{path}.{name}")
        case list() | tuple():
            for each in value:
                yield from _faults(each, path)


def _fits(row: Row, filter: Filter) -> bool:
    fields = {"team": filter.team, "state": filter.state, "owner": filter.owner}
    tags: dict[str, str] = getattr(row, "tags", {})
    return (
        all(wanted is None or getattr(row, name, None) == wanted for name, wanted in fields.items())
        and (filter.name is None or filter.name.casefold() in row.name.casefold())
        and (filter.tag is None or tags.get(filter.tag[0]) == filter.tag[1])
    )
