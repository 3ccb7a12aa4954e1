"""Every path of the admin API, one file a subject."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from penstock.admin.openapi import document_route
from penstock.admin.route import Table
from penstock.admin.routes import changes, keys, limits, process, records, teams, tokens, usage
from penstock.audit.asked import Asked
from penstock.config.model import AllLimits

if TYPE_CHECKING:
    from penstock.keys.service import Ledger


def table(running: process.Process | None, ledger: Ledger, configured: Callable[[], AllLimits], asked: Asked) -> Table:
    """The whole table; `configured` gives the limits of the configuration in force, `asked` what was recorded.

    Without a running process there is no status and no reload, and nothing is counted.
    """
    routes = [*keys.routes(ledger), *teams.routes(ledger), *tokens.routes(ledger), *changes.routes(ledger)]
    routes += [*records.routes(asked, ledger.store), *usage.routes(asked, ledger.store)]
    routes += limits.routes(ledger, configured, running)
    if running is not None:
        routes += process.routes(running)
    return Table([*routes, document_route(routes)])
