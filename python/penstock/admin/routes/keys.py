"""Keys: list, show, make, change, rotate, take out of use, delete, import."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from msgspec import Meta, Struct

from penstock.admin import cursor
from penstock.admin.inputs import shown
from penstock.admin.message import Answer, json_answer
from penstock.admin.route import Call, Route
from penstock.admin.routes.listing import USUAL, Cursor, Limit, Tag, Word, read_cursor, read_tag
from penstock.admin.shapes import ImportedKeys, IssuedKey, KeyShape, Listing
from penstock.admin.shown import issued_key, shown_key
from penstock.config.units import parse_duration
from penstock.keys import wishes
from penstock.keys.model import Key, Team
from penstock.keys.problem import FieldProblem, Findings, Invalid, NotFound
from penstock.keys.takeover import MOST, bound
from penstock.keys.teams import find_team
from penstock.keys.wishes import Disable, ForeignKey, KeyPatch, NewKey, Rotation
from penstock.store.interface import Filter

if TYPE_CHECKING:
    from penstock.keys.service import Issued, Ledger

KEYS = "/admin/v1/keys"


class KeysQuery(Struct, frozen=True, kw_only=True):
    """What narrows the listing of keys."""

    team: Annotated[Word, Meta(description="Id or name of a team")] | None = None
    state: Literal["active", "disabled"] | None = None
    owner: Word | None = None
    name: Annotated[Word, Meta(description="Part of the name, whatever its case")] | None = None
    tag: Tag | None = None
    cursor: Cursor | None = None
    limit: Limit = USUAL


class Import(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Foreign keys, checked together, then written one by one; repeating is safe. At most 1,000 at once, and 100 of
    them by their secret, fewer where `keys.hash` costs more than usual.
    """

    keys: tuple[ForeignKey, ...]


class Foreign(NamedTuple):
    """An import as it was read: what is wrong with which key goes along."""

    keys: Sequence[ForeignKey]
    found: Mapping[int, Sequence[FieldProblem]]


def read_import(value: Any) -> tuple[Foreign, Sequence[FieldProblem]]:
    """Every key by itself, so that one that is wrong hides nothing of the others. Raises `Invalid`."""
    given = value.get("keys") if isinstance(value, dict) else None
    unknown = [name for name in value if name != "keys"] if isinstance(value, dict) else []
    if not isinstance(given, list) or unknown:
        problems = [FieldProblem(shown(name), "there is no such field") for name in unknown]
        raise Invalid(problems or [FieldProblem("keys", "a list of keys is expected")])
    bound(len(given), MOST, "keys")
    keys: list[ForeignKey] = []
    found: dict[int, Sequence[FieldProblem]] = {}
    for index, each in enumerate(given):
        try:
            key, problems = wishes.read(ForeignKey, each)
        except Invalid as error:
            key, problems = ForeignKey(name=""), [*error.problems, FieldProblem("name", "is missing")]
        keys.append(key)
        if problems:
            found[index] = problems
    return Foreign(keys, found), ()


class KeyHandlers:
    """What the paths of keys do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._store = ledger, ledger.store

    async def list(self, call: Call[None, KeysQuery]) -> Answer:
        """A piece of the keys in the order of their ids."""
        asked, findings = call.query, Findings(call.found)
        team, tag = None, read_tag(findings, asked.tag)
        if asked.team is not None and (team := await find_team(self._store, asked.team)) is None:
            findings.add("team", "no team has this id or name")
        after = read_cursor(findings, Key, asked.cursor)
        findings.raise_any()
        narrowed = Filter(
            team=team.id if team else None, state=asked.state, owner=asked.owner, name=asked.name, tag=tag
        )
        found = await self._store.list(Key, narrowed, after, asked.limit)
        keys = [row for row in found.rows if isinstance(row, Key)]
        teams = await self._teams(keys)
        items = tuple(shown_key(key, teams.get(key.team or "")) for key in keys)
        return json_answer(Listing(items, None if found.next is None else cursor.write("key", found.next)))

    async def show(self, call: Call[None, None]) -> Answer:
        """One key."""
        key = await self._store.get(Key, call.id)
        if key is None:
            raise NotFound("key", call.id)
        return json_answer(await self._shown(key))

    async def create(self, call: Call[NewKey, None]) -> Answer:
        """A new key, with its secret."""
        return await self._issued(await self._ledger.create_key(call.body, call.actor, call.found), 201)

    async def change(self, call: Call[KeyPatch, None]) -> Answer:
        """The key as it is after the change."""
        return json_answer(await self._shown(await self._ledger.change_key(call.id, call.body, call.actor, call.found)))

    async def delete(self, call: Call[None, None]) -> Answer:
        """Nothing is left but the log of changes."""
        await self._ledger.delete_key(call.id, call.actor)
        return Answer(204, (("cache-control", "no-store"),), b"")

    async def rotate(self, call: Call[Rotation, None]) -> Answer:
        """The key with a new secret; the old ones end with the overlap."""
        findings, overlap_ms = Findings(call.found), 0
        try:
            overlap_ms = parse_duration(call.body.overlap)
        except ValueError as error:
            findings.add("overlap", str(error))
        return await self._issued(
            await self._ledger.rotate_key(call.id, overlap_ms, call.actor, findings.problems), 200
        )

    async def disable(self, call: Call[Disable, None]) -> Answer:
        """No new requests; with `cut` those that run end as well."""
        key = await self._ledger.set_key_state(call.id, "disabled", call.actor, cut=call.body.cut)
        return json_answer(await self._shown(key))

    async def enable(self, call: Call[None, None]) -> Answer:
        """In use again."""
        return json_answer(await self._shown(await self._ledger.set_key_state(call.id, "active", call.actor)))

    async def take(self, call: Call[Foreign, None]) -> Answer:
        """None when one is refused; where the writing ends early, the problem names those that were made."""
        done = await self._ledger.import_keys(call.body.keys, call.actor, call.body.found)
        if done.refused:
            raise Invalid(
                [
                    FieldProblem(f"keys[{index}].{each.field}" if each.field else f"keys[{index}]", each.message)
                    for index, problems in done.refused
                    for each in problems
                ]
            )
        return json_answer(ImportedKeys(tuple(done.created), tuple(done.unchanged)))

    async def _issued(self, issued: Issued, status: int) -> Answer:
        made = issued_key(issued.key, await self._team(issued.key), issued.secret)
        where = (("location", f"{KEYS}/{issued.key.id}"),) if status == 201 else ()
        return json_answer(made, status, where)

    async def _shown(self, key: Key) -> KeyShape:
        return shown_key(key, await self._team(key))

    async def _team(self, key: Key) -> Team | None:
        return (await self._teams([key])).get(key.team or "")

    async def _teams(self, keys: Iterable[Key]) -> Mapping[str, Team]:
        """The teams of these keys; one that was deleted meanwhile is missing."""
        ids = {key.team for key in keys if key.team is not None}
        return await self._store.get_many(Team, ids) if ids else {}


def routes(ledger: Ledger) -> list[Route]:
    """Every path of keys."""
    do = KeyHandlers(ledger)
    one = f"{KEYS}/{{id}}"
    return [
        Route(
            method="GET",
            path=KEYS,
            handler=do.list,
            query=KeysQuery,
            judges=True,
            answers=Listing[KeyShape],
            summary="Keys in the order of their ids",
        ),
        Route(
            method="POST",
            path=KEYS,
            handler=do.create,
            body=NewKey,
            judges=True,
            answers=IssuedKey,
            status=201,
            codes=("conflict",),
            summary="Make a key; its secret is in this answer alone",
        ),
        Route(
            method="POST",
            path=f"{KEYS}/import",
            handler=do.take,
            body=Import,
            read=read_import,
            answers=ImportedKeys,
            codes=("conflict",),
            summary="Take over keys of another gateway: checked together, written one by one, safe to repeat",
        ),
        Route(method="GET", path=one, handler=do.show, answers=KeyShape, codes=("not_found",), summary="Show a key"),
        Route(
            method="PATCH",
            path=one,
            handler=do.change,
            body=KeyPatch,
            judges=True,
            answers=KeyShape,
            codes=("not_found", "conflict"),
            summary="Change a key as a merge patch (RFC 7396): what is left out stays, null clears",
        ),
        Route(
            method="DELETE",
            path=one,
            handler=do.delete,
            answers=None,
            status=204,
            codes=("not_found", "conflict"),
            summary="Delete a key; its running requests finish: to end them, disable it with `cut` first",
        ),
        Route(
            method="POST",
            path=f"{one}/rotate",
            handler=do.rotate,
            body=Rotation,
            body_required=False,
            judges=True,
            answers=IssuedKey,
            codes=("not_found", "conflict"),
            summary="Give a key a new secret; the old one is valid for the overlap",
        ),
        Route(
            method="POST",
            path=f"{one}/disable",
            handler=do.disable,
            body=Disable,
            body_required=False,
            answers=KeyShape,
            codes=("not_found", "conflict"),
            summary="Take a key out of use; with `cut` its running requests end too",
        ),
        Route(
            method="POST",
            path=f"{one}/enable",
            handler=do.enable,
            answers=KeyShape,
            codes=("not_found", "conflict"),
            summary="Put a key to use again",
        ),
    ]
