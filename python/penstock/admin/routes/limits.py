"""Limits in force: how much of them is used, and beginning anew."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock.admin.limited import OPEN, Counters, Layer, limited
from penstock.admin.message import Answer, json_answer, problem
from penstock.admin.route import Call, Route
from penstock.admin.shapes import LimitsShape, ResetShape
from penstock.config.model import AllLimits
from penstock.keys.model import Key, Team
from penstock.keys.problem import NotFound
from penstock.keys.teams import find_team
from penstock.limits.policy import Scope
from penstock.limits.script import AwayError
from penstock.limits.written import unreadable

if TYPE_CHECKING:
    from penstock.keys.service import Ledger

LIMITS = "/admin/v1/limits"
LONGEST_SUBJECT = 200
"""Of the log of changes; the whole name stands in what it says."""


class Place(NamedTuple):
    """Where limits sit: the name by which native counts there, and who may set them, the first goes before."""

    name: str
    layers: tuple[Layer, ...]
    problem: str | None = None
    """Why it cannot be said what is limited."""


class LimitHandlers:
    """What the paths of limits do. Without `counters` no node runs here."""

    def __init__(self, ledger: Ledger, configured: Callable[[], AllLimits], counters: Counters | None) -> None:
        self._ledger, self._configured, self._counters = ledger, configured, counters

    def show(self, scope: Scope) -> Callable[[Call[None, None]], Awaitable[Answer]]:
        """The handler of one scope."""

        async def answer(call: Call[None, None]) -> Answer:
            place = await self._find(scope, call.id)
            if place.problem is not None:
                return json_answer(LimitsShape(scope=scope, name=place.name, limits=(), problem=place.problem))
            report = None if self._counters is None else self._counters.limits_use(scope, place.name)
            found = limited(place.layers, report)
            return json_answer(LimitsShape(scope=scope, name=place.name, limits=found, problem=None))

        return answer

    def reset(self, scope: Scope) -> Callable[[Call[None, None]], Awaitable[Answer]]:
        """The handler of one scope."""

        async def answer(call: Call[None, None]) -> Answer:
            place = await self._find(scope, call.id)
            if self._counters is None:
                return problem(409, "conflict", "No process runs here: there is nothing that it has counted.")
            if self._counters.limits_away:
                raise AwayError("These limits are shared, and Redis does not answer: nothing began anew")
            facts: dict[str, object] = {"scope": scope, "name": place.name}
            subject = place.name if scope in ("key", "team") else f"{scope}:{place.name}".rstrip(":")
            # Before it is done: what cannot be recorded does not happen.
            await self._ledger.record("limits.reset", subject[:LONGEST_SUBJECT], facts, call.actor)
            try:
                done = await self._counters.limits_reset(scope, place.name)
            except AwayError as error:
                raise AwayError(f"Whether these limits began anew cannot be told ({error}): try again") from None
            return json_answer(ResetShape(scope=scope, name=place.name, reset=done))

        return answer

    async def _find(self, scope: Scope, given: str) -> Place:
        """Raises `NotFound` for what has no limits because it is not there."""
        configured = self._configured()
        match scope:
            case "key":
                row = None if given == OPEN else await self._ledger.store.get(Key, given)
                if row is None and given != OPEN:
                    raise NotFound("key", given)
                layers: tuple[Layer, ...] = (("key", row.limits if row else None), ("default", configured.default))
                return Place(given, layers, unreadable(row.limits, row.limits_rest) if row else None)
            case "team":
                team: Team | None = await find_team(self._ledger.store, given)
                if team is None:
                    raise NotFound("team", given)
                return Place(team.id, (("team", team.limits),), unreadable(team.limits, team.limits_rest))
            case "model" if given in configured.models:
                return Place(given, (("model", configured.models[given]),))
            case "provider" if given in configured.providers:
                return Place(given, (("provider", configured.providers[given]),))
            case "global":
                return Place("", (("global", configured.global_),))
        raise NotFound(f"{scope} with limits", given)


def routes(ledger: Ledger, configured: Callable[[], AllLimits], counters: Counters | None) -> list[Route]:
    """Every path of limits."""
    do = LimitHandlers(ledger, configured, counters)
    named: tuple[tuple[Scope, str], ...] = (
        ("key", "of a key, its own over the default's; `open` is the key of all where none is asked for"),
        ("team", "of a team, which its keys share; by its id or its name"),
        ("model", "of a model, by the name that the configuration limits"),
        ("provider", "of a provider"),
        ("global", "of all requests together"),
    )
    found = []
    for scope, about in named:
        path = f"{LIMITS}/{scope}" + ("" if scope == "global" else "/{id}")
        codes: dict[str, Any] = {} if scope == "global" else {"codes": ("not_found",)}
        found.append(
            Route(
                method="GET",
                path=path,
                handler=do.show(scope),
                answers=LimitsShape,
                summary=f"Limits {about}",
                **codes,
            )
        )
        found.append(
            Route(
                method="POST",
                path=f"{path}/reset",
                handler=do.reset(scope),
                answers=ResetShape,
                codes=("conflict", *codes.get("codes", ())),
                summary=f"Forget what was counted against the limits {about.partition(',')[0]}",
            )
        )
    return found
