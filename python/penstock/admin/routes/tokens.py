"""Further admin tokens of the store: list, make, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from penstock.admin.message import Answer, json_answer
from penstock.admin.route import Call, Route
from penstock.admin.routes.listing import USUAL, Cursor, Limit, page, read_cursor
from penstock.admin.shapes import IssuedTokenShape, Listing, TokenShape
from penstock.admin.shown import issued_token, shown_token
from penstock.keys.model import AdminToken
from penstock.keys.problem import Findings
from penstock.keys.wishes import NewToken
from penstock.store.interface import Filter

if TYPE_CHECKING:
    from penstock.keys.service import Ledger

TOKENS = "/admin/v1/tokens"


class TokensQuery(Struct, frozen=True, kw_only=True):
    """Which piece of the tokens."""

    cursor: Cursor | None = None
    limit: Limit = USUAL


class TokenHandlers:
    """What the paths of tokens do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def list(self, call: Call[None, TokensQuery]) -> Answer:
        """A piece of the store's tokens; those of the configuration stand in the configuration."""
        asked, findings = call.query, Findings(call.found)
        after = read_cursor(findings, AdminToken, asked.cursor)
        findings.raise_any()
        return json_answer(await page(self._ledger.store, AdminToken, Filter(), after, asked.limit, shown_token))

    async def create(self, call: Call[NewToken, None]) -> Answer:
        """A new token, shown this once."""
        issued = await self._ledger.create_token(call.body, call.actor, call.found)
        shown = issued_token(issued.token, issued.text)
        return json_answer(shown, 201, (("location", f"{TOKENS}/{issued.token.id}"),))

    async def delete(self, call: Call[None, None]) -> Answer:
        """It opens nothing any more."""
        await self._ledger.delete_token(call.id, call.actor)
        return Answer(204, (("cache-control", "no-store"),), b"")


def routes(ledger: Ledger) -> list[Route]:
    """Every path of tokens."""
    do = TokenHandlers(ledger)
    return [
        Route(
            method="GET",
            path=TOKENS,
            handler=do.list,
            query=TokensQuery,
            judges=True,
            answers=Listing[TokenShape],
            summary="Admin tokens of the store",
        ),
        Route(
            method="POST",
            path=TOKENS,
            handler=do.create,
            body=NewToken,
            judges=True,
            answers=IssuedTokenShape,
            status=201,
            codes=("conflict",),
            summary="Make an admin token; it is in this answer alone",
        ),
        Route(
            method="DELETE",
            path=f"{TOKENS}/{{id}}",
            handler=do.delete,
            answers=None,
            status=204,
            codes=("not_found", "conflict"),
            summary="Delete an admin token",
        ),
    ]
