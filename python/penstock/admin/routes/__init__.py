"""Every path of the admin API, one file a subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.admin.openapi import document_route
from penstock.admin.route import Table
from penstock.admin.routes import changes, keys, process, teams, tokens

if TYPE_CHECKING:
    from penstock.keys.service import Ledger


def table(running: process.Process | None, ledger: Ledger) -> Table:
    """The whole table. Without a running process there is no status and no reload."""
    routes = [*keys.routes(ledger), *teams.routes(ledger), *tokens.routes(ledger), *changes.routes(ledger)]
    if running is not None:
        routes += process.routes(running)
    return Table([*routes, document_route(routes)])
