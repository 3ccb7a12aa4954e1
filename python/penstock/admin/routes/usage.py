"""Requests, tokens and cost summed: by key, team, model, target, status or a tag, per hour, day or month."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from penstock.admin.message import Answer, json_answer
from penstock.admin.record_shapes import SumShape, UsageShape
from penstock.admin.route import Call, Route
from penstock.admin.routes.records import Narrowed, read_choice
from penstock.audit.asked import Asked
from penstock.audit.choice import statuses
from penstock.audit.sums import MOST, Sum, TooManyError, hour_of, month_of, sums
from penstock.config.problem import did_you_mean
from penstock.config.units import show_usd
from penstock.keys.problem import FieldProblem, Findings, Invalid
from penstock.keys.public import rfc3339
from penstock.store.usage_statements import COLUMNS, TAG, Per, Question
from penstock.times import HOUR_US

if TYPE_CHECKING:
    from penstock.store.interface import Store

MOST_FIELDS = 6


class UsageQuery(Narrowed, frozen=True, kw_only=True):
    """Which sums: without `since` those of the month that holds the last hour before `until`, this one at most."""

    by: Annotated[
        str, Meta(max_length=600, description="Of key, team, model, target, status, tag:NAME; with commas")
    ] = ""
    per: Per | None = None


class UsageHandlers:
    """What the path of sums does."""

    def __init__(self, asked: Asked, store: Store) -> None:
        self._asked, self._store = asked, store

    async def show(self, call: Call[None, UsageQuery]) -> Answer:
        """The sums."""
        async with self._asked.room.place():
            return await self._show(call)

    async def _show(self, call: Call[None, UsageQuery]) -> Answer:
        asked, findings = call.query, Findings(call.found)
        choice = await read_choice(asked, findings, self._store)
        by = _read_by(findings, asked.by)
        now = hour_of(time.time_ns() // 1_000)
        until = now + 1 if choice.until_us is None else -(-choice.until_us // HOUR_US)
        last = max(min(until - 1, now), 0)
        since = month_of(last) if asked.since is None else hour_of(choice.since_us)
        findings.raise_any()
        wanted = Question(
            by=by,
            per=asked.per,
            since_hour=max(since, 0),
            until_hour=max(until, since, 0),
            key=choice.key,
            team=choice.team,
            model=choice.model,
            target=choice.target,
            statuses=None if choice.status is None else statuses(choice.status),
            tag=choice.tag,
        )
        try:
            found = await sums(self._asked, wanted)
        except TooManyError:
            message = f"these are more than {MOST} sums: narrow the time, or sum by less"
            raise Invalid([FieldProblem("by", message)]) from None
        return json_answer(
            UsageShape(
                since=rfc3339(wanted.since_hour * HOUR_US),
                until=rfc3339(wanted.until_hour * HOUR_US),
                per=wanted.per,
                items=tuple(_shown(each) for each in found.items),
                partial=found.partial,
            )
        )


def _read_by(findings: Findings, text: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in COLUMNS and not (name.startswith(TAG) and len(name) > len(TAG)):
            hint = did_you_mean(name, COLUMNS)
            expected = f"expected {', '.join(COLUMNS)} or tag:NAME"
            findings.add("by", f"{expected}, not {name[:64]!r}" + (f" ({hint})" if hint else ""))
    if len(names) > MOST_FIELDS or len(set(names)) < len(names):
        findings.add("by", f"at most {MOST_FIELDS}, none of them twice")
    return tuple(names)


def _shown(each: Sum) -> SumShape:
    cost = show_usd(each.numbers["cost_nanousd"])
    return SumShape(at=rfc3339(each.at_us), by=each.of, cost_usd=cost, **each.numbers)


def routes(asked: Asked, store: Store) -> list[Route]:
    """The path of sums."""
    return [
        Route(
            method="GET",
            path="/admin/v1/usage",
            handler=UsageHandlers(asked, store).show,
            query=UsageQuery,
            judges=True,
            answers=UsageShape,
            summary="Requests, tokens and cost, summed over whole hours",
        )
    ]
