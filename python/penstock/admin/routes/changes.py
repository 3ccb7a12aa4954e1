"""What was done to keys, teams and tokens, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from penstock.admin import cursor
from penstock.admin.message import Answer, json_answer
from penstock.admin.route import Call, Route
from penstock.admin.routes.listing import USUAL, Cursor, Limit, Word
from penstock.admin.shapes import ChangeShape, Listing
from penstock.admin.shown import shown_change
from penstock.keys.problem import Findings

if TYPE_CHECKING:
    from penstock.keys.service import Ledger


class ChangesQuery(Struct, frozen=True, kw_only=True):
    """What narrows the listing of changes."""

    subject: Annotated[Word, Meta(description="Id of a key, team or token")] | None = None
    cursor: Cursor | None = None
    limit: Limit = USUAL


def routes(ledger: Ledger) -> list[Route]:
    """The log of changes."""

    async def changes(call: Call[None, ChangesQuery]) -> Answer:
        asked, findings = call.query, Findings(call.found)
        before = cursor.read_number(findings, "change", asked.cursor)
        findings.raise_any()
        found = await ledger.store.changes(asked.subject, before, asked.limit)
        goes_on = len(found) == asked.limit and found[-1].version > 1
        after = cursor.write("change", found[-1].version) if goes_on else None
        return json_answer(Listing(tuple(shown_change(each) for each in found), after))

    return [
        Route(
            method="GET",
            path="/admin/v1/changes",
            handler=changes,
            query=ChangesQuery,
            judges=True,
            answers=Listing[ChangeShape],
            summary="Administrative changes, newest first, without secrets",
        )
    ]
