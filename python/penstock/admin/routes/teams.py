"""Teams: list, show, make, change, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct

from penstock.admin.message import Answer, json_answer
from penstock.admin.route import Call, Route
from penstock.admin.routes.listing import USUAL, Cursor, Limit, Tag, Word, page, read_cursor, read_tag
from penstock.admin.shapes import Listing, TeamShape
from penstock.admin.shown import shown_team
from penstock.keys.model import Team
from penstock.keys.problem import Findings, NotFound
from penstock.keys.teams import find_team
from penstock.keys.wishes import NewTeam, TeamPatch
from penstock.store.interface import Filter

if TYPE_CHECKING:
    from penstock.keys.service import Ledger

TEAMS = "/admin/v1/teams"


class TeamsQuery(Struct, frozen=True, kw_only=True):
    """What narrows the listing of teams."""

    name: Annotated[Word, Meta(description="Part of the name, whatever its case")] | None = None
    state: Literal["active", "disabled"] | None = None
    tag: Tag | None = None
    cursor: Cursor | None = None
    limit: Limit = USUAL


class TeamHandlers:
    """What the paths of teams do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._store = ledger, ledger.store

    async def list(self, call: Call[None, TeamsQuery]) -> Answer:
        """A piece of the teams in the order of their ids."""
        asked, findings = call.query, Findings(call.found)
        narrowed = Filter(name=asked.name, state=asked.state, tag=read_tag(findings, asked.tag))
        after = read_cursor(findings, Team, asked.cursor)
        findings.raise_any()
        return json_answer(await page(self._store, Team, narrowed, after, asked.limit, shown_team))

    async def show(self, call: Call[None, None]) -> Answer:
        """One team, by its id or its name."""
        team = await find_team(self._store, call.id)
        if team is None:
            raise NotFound("team", call.id)
        return json_answer(shown_team(team))

    async def create(self, call: Call[NewTeam, None]) -> Answer:
        """A new team."""
        team = await self._ledger.create_team(call.body, call.actor, call.found)
        return json_answer(shown_team(team), 201, (("location", f"{TEAMS}/{team.id}"),))

    async def change(self, call: Call[TeamPatch, None]) -> Answer:
        """The team as it is after the change."""
        return json_answer(shown_team(await self._ledger.change_team(call.id, call.body, call.actor, call.found)))

    async def delete(self, call: Call[None, None]) -> Answer:
        """Only a team without keys can go."""
        await self._ledger.delete_team(call.id, call.actor)
        return Answer(204, (("cache-control", "no-store"),), b"")


def routes(ledger: Ledger) -> list[Route]:
    """Every path of teams."""
    do = TeamHandlers(ledger)
    one = f"{TEAMS}/{{id}}"
    return [
        Route(
            method="GET",
            path=TEAMS,
            handler=do.list,
            query=TeamsQuery,
            judges=True,
            answers=Listing[TeamShape],
            summary="Teams in the order of their ids",
        ),
        Route(
            method="POST",
            path=TEAMS,
            handler=do.create,
            body=NewTeam,
            judges=True,
            answers=TeamShape,
            status=201,
            codes=("conflict",),
            summary="Make a team",
        ),
        Route(
            method="GET",
            path=one,
            handler=do.show,
            answers=TeamShape,
            codes=("not_found",),
            summary="Show a team, by its id or its name",
        ),
        Route(
            method="PATCH",
            path=one,
            handler=do.change,
            body=TeamPatch,
            judges=True,
            answers=TeamShape,
            codes=("not_found", "conflict"),
            summary="Change a team as a merge patch (RFC 7396): what is left out stays, null clears",
        ),
        Route(
            method="DELETE",
            path=one,
            handler=do.delete,
            answers=None,
            status=204,
            codes=("not_found", "conflict"),
            summary="Delete a team that owns no keys",
        ),
    ]
