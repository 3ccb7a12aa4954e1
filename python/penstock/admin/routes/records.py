"""Records of requests: by time, key, team, model, target, status, outcome, tag, request."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, Struct

from penstock.admin import cursor
from penstock.admin.message import Answer, json_answer
from penstock.admin.record_shapes import RecordsShape
from penstock.admin.route import Call, Route
from penstock.admin.routes.listing import USUAL, Cursor, Limit, Tag, Word, read_tag
from penstock.audit.asked import Asked, Page
from penstock.audit.choice import Choice, parse_status, parse_time
from penstock.audit.record import Outcome
from penstock.audit.shown import MOST_TEXTS, as_object
from penstock.keys.problem import Findings, NotFound
from penstock.keys.teams import find_team
from penstock.store.asking_statements import Place

if TYPE_CHECKING:
    from penstock.store.interface import Store

RECORDS = "/admin/v1/records"
Sought = Annotated[str, Meta(min_length=1, max_length=1024)]
"""What is longer than in a record is cut as it is there."""
Time = Annotated[Word, Meta(description="An RFC 3339 time, 2026-01-31, or 2h for that long ago")]


class Narrowed(Struct, frozen=True, kw_only=True):
    """What narrows records and sums alike."""

    since: Time | None = None
    until: Time | None = None
    key: Annotated[Sought, Meta(description="Id of a key")] | None = None
    team: Annotated[Sought, Meta(description="Id or name of a team")] | None = None
    model: Annotated[Sought, Meta(description="The name asked for")] | None = None
    target: Annotated[Sought, Meta(description="provider/model that answered, or the provider")] | None = None
    status: Annotated[Word, Meta(description="429, or 4xx")] | None = None
    tag: Tag | None = None


class RecordsQuery(Narrowed, frozen=True, kw_only=True):
    """Which records."""

    outcome: Outcome | None = None
    request_id: Sought | None = None
    order: Literal["newest", "oldest"] = "newest"
    cursor: Cursor | None = None
    limit: Limit = USUAL
    texts: Literal["true", "false"] = "false"
    """Whether prompts and answers are shown too, if they are recorded: of at most `MOST_TEXTS` a page."""


async def read_choice(asked: Narrowed, findings: Findings, store: Store, **more: Any) -> Choice:
    """The conditions of a request; what cannot be read is noted."""
    now = datetime.now(UTC)
    team = None if asked.team is None else await find_team(store, asked.team)
    return Choice(
        since_us=_time(findings, "since", asked.since, now) or 0,
        until_us=_time(findings, "until", asked.until, now),
        key=asked.key,
        team=team.id if team else asked.team,  # a team that is gone has records yet
        model=asked.model,
        target=asked.target,
        status=_status(findings, asked.status),
        tag=read_tag(findings, asked.tag),
        **more,
    )


class RecordHandlers:
    """What the paths of records do."""

    def __init__(self, asked: Asked, store: Store) -> None:
        self._asked, self._store = asked, store

    async def list(self, call: Call[None, RecordsQuery]) -> Answer:
        """A piece of the records by the time at which they began."""
        async with self._asked.room.place():
            return await self._list(call)

    async def _list(self, call: Call[None, RecordsQuery]) -> Answer:
        asked, findings = call.query, Findings(call.found)
        texts = asked.texts == "true"
        more = {"outcome": asked.outcome, "request_id": asked.request_id, "whole": texts and call.role == "admin"}
        choice = await read_choice(asked, findings, self._store, **more)
        listing = f"records-{asked.order}"
        after = _read_place(findings, listing, asked.cursor)
        if texts and asked.limit > MOST_TEXTS:
            findings.add("limit", f"with texts at most {MOST_TEXTS}")
        findings.raise_any()
        found = await self._asked.page(choice, newest=asked.order == "newest", after=after, limit=asked.limit)
        return _answer(found, listing, call, texts)

    async def show(self, call: Call[None, None]) -> Answer:
        """The newest records of one request: an id may be a client's own, and come again. That there is none
        is said only where everything was looked at.
        """
        choice = Choice(request_id=call.id, whole=call.role == "admin")
        async with self._asked.room.place():
            found = await self._asked.page(choice, newest=True, after=None, limit=USUAL)
        if not found.rows and not found.partial:
            raise NotFound("record of the request", call.id)
        partial = found.partial or found.after is not None
        return _answer(found._replace(after=None, partial=partial), "", call, True)


def _answer(found: Page, listing: str, call: Call[Any, Any], texts: bool) -> Answer:
    items = [as_object(row, private=call.role == "admin", texts=texts) for row in found.rows]
    after = None if found.after is None else _write_place(listing, found.after)
    return json_answer({"items": items, "next": after, "partial": found.partial})


def _time(findings: Findings, field: str, text: str | None, now: datetime) -> int | None:
    try:
        return None if text is None else parse_time(text, now)
    except ValueError as error:
        findings.add(field, str(error))
        return None


def _status(findings: Findings, text: str | None) -> str | None:
    try:
        return None if text is None else parse_status(text)
    except ValueError as error:
        findings.add("status", str(error))
        return None


def _write_place(listing: str, place: Place) -> str:
    return cursor.write(listing, f"{place.started_us}_{place.sequence}_{place.instance}")


def _read_place(findings: Findings, listing: str, text: str | None) -> Place | None:
    found = cursor.read_text(findings, listing, text)
    if found is None:
        return None
    started, _, rest = found.partition("_")
    sequence, _, instance = rest.partition("_")
    if not (started.isdecimal() and sequence.isdecimal() and len(started) < 19 and len(sequence) < 19):
        findings.add("cursor", cursor.UNKNOWN)
        return None
    return Place(int(started), instance, int(sequence))


def routes(asked: Asked, store: Store) -> list[Route]:
    """Every path of records."""
    do = RecordHandlers(asked, store)
    return [
        Route(
            method="GET",
            path=RECORDS,
            handler=do.list,
            query=RecordsQuery,
            judges=True,
            answers=RecordsShape,
            summary="Records of requests by the time at which they began, the newest first unless told otherwise",
        ),
        Route(
            method="GET",
            path=f"{RECORDS}/{{id}}",
            handler=do.show,
            answers=RecordsShape,
            codes=("not_found",),
            summary="The records of a request by its id, which may be a client's own and come again",
        ),
    ]
