"""A small store and ledger in memory: what the admin API asks of them, and what it makes of their errors."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, cast

from msgspec import UNSET, structs

from penstock.keys.model import AdminToken, Change, Key, Row, Secret, Team
from penstock.keys.problem import FieldProblem, Invalid, NotFound
from penstock.keys.service import Imported, Issued, IssuedToken, Ledger
from penstock.keys.wishes import ForeignKey, KeyPatch, NewKey, NewTeam, NewToken, TeamPatch
from penstock.store.interface import ConflictError, Delta, Filter, Page, RowT, StoreAwayError

HASH = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g"


class FakeStore:
    """Rows in a dictionary; away on demand."""

    id = "fake"

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.log: list[Change] = []
        self.away = False
        self.reads = 0
        self._version = itertools.count(1)

    def put(self, row: Row, action: str, actor: str) -> Row:
        """Writes a row and its change."""
        self._here()
        made = structs.replace(row, version=next(self._version))
        before = self.rows.get(row.id)
        self.rows[row.id] = made
        self.log.append(
            Change(
                id=f"c{made.version}",
                at_us=1_700_000_000_000_000 + made.version,
                actor=actor,
                action=action,
                subject=row.id,
                before={"name": before.name} if before else None,
                after={"name": made.name},
                version=made.version,
            )
        )
        return made

    def _here(self) -> None:
        self.reads += 1
        if self.away:
            raise StoreAwayError("the store does not answer")

    async def open(self, *, migrate: bool) -> list[str]:
        return []

    async def close(self) -> None:
        self.away = True

    async def version(self) -> int:
        return len(self.log)

    async def changed_since(self, version: int, limit: int) -> Delta:
        raise AssertionError("the admin API does not follow the store")

    async def save(self, row: Row, expected: int | None, change: Change) -> int:
        raise AssertionError("the admin API writes through the ledger")

    async def replace_hash(self, key: str, generation: int, old: str, new: str) -> bool:
        raise AssertionError("the admin API knows no hash")

    async def touch(self, used_us: Mapping[str, int]) -> None:
        raise AssertionError("the admin API uses no key")

    async def get(self, kind: type[RowT], id: str) -> RowT | None:
        self._here()
        row = self.rows.get(id)
        return row if isinstance(row, kind) and row.state != "deleted" else None

    async def find_team(self, name: str) -> Team | None:
        self._here()
        return next((row for row in self.rows.values() if isinstance(row, Team) and row.name == name), None)

    async def list(self, kind: type[RowT], filter: Filter, after: str | None, limit: int) -> Page:
        self._here()
        rows = [row for _, row in sorted(self.rows.items()) if isinstance(row, kind) and row.state != "deleted"]
        rows = [row for row in rows if _fits(row, filter) and (after is None or row.id > after)]
        return Page(tuple(rows[:limit]), rows[limit - 1].id if len(rows) > limit else None)

    async def changes(self, subject: str | None, before: int | None, limit: int) -> Sequence[Change]:
        self._here()
        found = [each for each in reversed(self.log) if subject in (None, each.subject)]
        return [each for each in found if before is None or each.version < before][:limit]

    async def purge(self, before_us: int) -> int:
        return 0

    async def watch(self, woken: Callable[[], None]) -> Callable[[], Awaitable[None]]:
        raise AssertionError("the admin API does not watch")


def _fits(row: Row, filter: Filter) -> bool:
    wanted = [
        filter.team is None or getattr(row, "team", None) == filter.team,
        filter.state is None or row.state == filter.state,
        filter.owner is None or getattr(row, "owner", None) == filter.owner,
        filter.name is None or filter.name.lower() in row.name.lower(),
        filter.tag is None or getattr(row, "tags", {}).get(filter.tag[0]) == filter.tag[1],
    ]
    return all(wanted)


class FakeLedger:
    """Does to the store what a wish says, and little more."""

    def __init__(self, store: FakeStore) -> None:
        self.store = store
        self._ids = (f"k{number:011d}" for number in itertools.count(1))
        self.calls: list[tuple[Any, ...]] = []

    async def create_key(self, wish: NewKey, actor: str) -> Issued:
        problems = [FieldProblem("name", "is empty")] if not wish.name else []
        problems += [FieldProblem("models[0]", "leads to no model")] if wish.models == ("nothing",) else []
        if problems:
            raise Invalid(problems)
        team = await self._team(wish.team)
        id = next(self._ids)
        secrets = (Secret(generation=1, hash=HASH),)
        fields = {"owner": wish.owner, "models": wish.models, "paths": wish.paths, "networks": wish.networks}
        key = Key(id=id, name=wish.name, team=team, tags=wish.tags or {}, secrets=secrets, **cast(Any, fields))
        made = cast(Key, self.store.put(key, "key.create", actor))
        return Issued(made, None if wish.secret else f"sk-pen-{id}-shown-once")

    async def change_key(self, id: str, patch: KeyPatch, actor: str) -> Key:
        key = await self._key(id)
        given = {name: value for name, value in structs.asdict(patch).items() if value is not UNSET}
        self.calls.append(("change_key", given))
        given.pop("expires", None)
        if "team" in given:
            given["team"] = await self._team(given["team"])
        if "tags" in given:
            given["tags"] = {name: value for name, value in (given["tags"] or {}).items() if value is not None}
        return cast(Key, self.store.put(structs.replace(key, **given), "key.update", actor))

    async def set_key_state(
        self, id: str, state: Literal["active", "disabled"], actor: str, *, cut: bool = False
    ) -> Key:
        self.calls.append(("set_key_state", state, cut))
        key = await self._key(id)
        return cast(Key, self.store.put(structs.replace(key, state=state), f"key.{state}", actor))

    async def rotate_key(self, id: str, overlap_ms: int, actor: str) -> Issued:
        self.calls.append(("rotate_key", overlap_ms))
        key = await self._key(id)
        old = structs.replace(key.secrets[0], until_us=1_800_000_000_000_000)
        made = self.store.put(structs.replace(key, secrets=(old, Secret(generation=2, hash=HASH))), "key.rotate", actor)
        return Issued(cast(Key, made), f"sk-pen-{id}-rotated")

    async def delete_key(self, id: str, actor: str) -> None:
        key = await self._key(id)
        self.store.put(structs.replace(key, state="deleted"), "key.delete", actor)

    async def import_keys(self, foreign: Sequence[ForeignKey], actor: str) -> Imported:
        fault = FieldProblem("secret", "is too short")
        bad = [(at, [fault]) for at, key in enumerate(foreign) if key.secret == "short"]
        if bad:
            return Imported([], [], bad)
        created: list[str] = []
        unchanged: list[str] = []
        for each in foreign:
            id = f"f{each.name}"
            (unchanged if id in self.store.rows else created).append(id)
            self.store.put(Key(id=id, name=each.name), "key.import", actor)
        return Imported(created, unchanged, [])

    async def create_team(self, wish: NewTeam, actor: str) -> Team:
        if await self.store.find_team(wish.name):
            raise ConflictError("name_taken", f"a team is called {wish.name} already")
        team = Team(id=f"t{next(self._ids)[1:]}", name=wish.name, models=wish.models, tags=wish.tags or {})
        return cast(Team, self.store.put(team, "team.create", actor))

    async def change_team(self, id: str, patch: TeamPatch, actor: str) -> Team:
        team = await self.store.get(Team, id)
        if team is None:
            raise NotFound("team", id)
        given = {name: value for name, value in structs.asdict(patch).items() if value is not UNSET}
        return cast(Team, self.store.put(structs.replace(team, **given), "team.update", actor))

    async def delete_team(self, id: str, actor: str) -> None:
        if (team := await self.store.get(Team, id)) is None:
            raise NotFound("team", id)
        if any(isinstance(row, Key) and row.team == id and row.state != "deleted" for row in self.store.rows.values()):
            raise ConflictError("team_has_keys", f"the team {team.name} still owns keys")
        self.store.put(structs.replace(team, state="deleted"), "team.delete", actor)

    async def create_token(self, wish: NewToken, actor: str) -> IssuedToken:
        import hashlib

        text = f"pen-admin-{wish.name}-0123456789"
        digest = hashlib.sha256(text.encode()).hexdigest()
        token = AdminToken(id=f"a{next(self._ids)[1:]}", name=wish.name, role=cast(Any, wish.role), digest=digest)
        return IssuedToken(cast(AdminToken, self.store.put(token, "token.create", actor)), text)

    async def delete_token(self, id: str, actor: str) -> None:
        if (token := await self.store.get(AdminToken, id)) is None:
            raise NotFound("token", id)
        self.store.put(structs.replace(token, state="deleted"), "token.delete", actor)

    async def _key(self, id: str) -> Key:
        if (key := await self.store.get(Key, id)) is None:
            raise NotFound("key", id)
        return key

    async def _team(self, given: str | None) -> str | None:
        if given is None:
            return None
        team = await self.store.get(Team, given) or await self.store.find_team(given)
        if team is None:
            raise ConflictError("team_missing", f"there is no team {given}")
        return team.id


def as_ledger(fake: FakeLedger) -> Ledger:
    """The fake where the real one is asked for."""
    return cast(Ledger, fake)
