"""Requests, tokens and cost summed: what the store has summed by the hour, and what it does not have yet."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import replace

from penstock.audit.asked import Asked
from penstock.audit.beyond import Beyond
from penstock.audit.choice import Choice
from penstock.audit.record import INTERRUPTED, Record
from penstock.store.record_statements import MADE_UP_ERRORS, MADE_UP_STATUS
from penstock.store.records import Watermark
from penstock.store.usage_statements import NUMBERS, TAG, Per, Question
from penstock.times import HOUR_US

MOST = 10_000
"""Sums of one answer."""

_TOKENS = NUMBERS[1:8]
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
Group = tuple[int, tuple[str | int, ...]]
Numbers = tuple[int, ...]


class TooManyError(Exception):
    """There are more than `MOST` sums."""


class Sum(NamedTuple):
    """What was used in a time by whom; `numbers` as `NUMBERS` names them."""

    at_us: int | None
    """Where the hour, day or month begins, UTC; None: it is the sum of all."""
    of: dict[str, str | int | None]
    numbers: dict[str, int]


class Sums(NamedTuple):
    """Sums in the order of time."""

    items: list[Sum]
    partial: bool
    """The journals here hold so much that the store does not have that some of it does not count, or one cannot be
    read.
    """


class _Counted(NamedTuple):
    """A record of a journal, as far as it counts."""

    instance: str
    sequence: int
    group: Group
    numbers: Numbers
    is_interrupted: bool


async def sums(asked: Asked, wanted: Question) -> Sums:
    """Raises `TooManyError`, and what `Asked` raises."""
    here = await asked.beyond()
    counted = await asked.read(here, lambda: _counted(here, wanted))
    found: dict[Group, Numbers] = {}
    marks: Mapping[str, Watermark] = {}
    if asked.store is not None:
        stored, marks = await asked.store.sums(wanted, MOST + 1, here.instances)
        found = {(at, of): numbers for at, of, numbers in stored}
    for each in counted:
        if not _is_summed(each, marks.get(each.instance)):
            _add(found, each.group, each.numbers)
    if len(found) > MOST:
        raise TooManyError(f"more than {MOST} sums")
    groups = sorted(found.items(), key=lambda item: (item[0][0], [str(each) for each in item[0][1]]))
    return Sums([_sum(wanted, group, numbers) for group, numbers in groups], here.partial)


def hour_of(at_us: int) -> int:
    """The hour since 1970 in which a time is."""
    return at_us // HOUR_US


def day_of(hour: int) -> int:
    """The first hour of the day of an hour."""
    return hour - hour % 24


def month_of(hour: int) -> int:
    """The first hour of the month of an hour."""
    return _first_hour(_month(hour))


def _is_summed(counted: _Counted, mark: Watermark | None) -> bool:
    """Whether the store has it in its sums: a stream that broke off only once all of its journal is there."""
    return mark is not None and counted.sequence <= mark.sequence and (mark.ended or not counted.is_interrupted)


def is_made_up(record: Record) -> bool:
    """Whether the model may be a name that only the client knows: there is no end to those, so sums are without it."""
    return record.status == MADE_UP_STATUS or record.error in MADE_UP_ERRORS


def _summed(record: Record) -> Record:
    """As sums have it."""
    return replace(record, model=None, target=None) if is_made_up(record) else record


def _counted(here: Beyond, wanted: Question) -> list[_Counted]:
    """What the journals have beyond their watermarks."""
    choice = Choice(
        since_us=wanted.since_hour * HOUR_US,
        until_us=wanted.until_hour * HOUR_US,
        key=wanted.key,
        team=wanted.team,
        model=wanted.model,
        target=wanted.target,
        tag=wanted.tag,
    )
    groups: dict[Group, Group] = {}  # each is kept once, of however many records
    found = []
    for row in here.some_rows(choice.since_us):
        record = _summed(row.record)
        if choice.takes(record) and _has_status(record, wanted.statuses):
            group = _group(record, wanted)
            group = groups.setdefault(group, group)
            is_interrupted = record.outcome == INTERRUPTED
            found.append(_Counted(row.instance, row.sequence, group, _numbers(record), is_interrupted))
    return found


def _has_status(record: Record, statuses: tuple[int, int] | None) -> bool:
    return statuses is None or statuses[0] <= (record.status or 0) <= statuses[1]


def _group(record: Record, wanted: Question) -> Group:
    return _time(hour_of(record.started_us), wanted.per), tuple(_field(record, name) for name in wanted.by)


def _field(record: Record, name: str) -> str | int:
    match name:
        case "key":
            return record.key_id or ""
        case "team":
            return record.team or ""
        case "model":
            return record.model or ""
        case "target":
            return record.target or ""
        case "status":
            return record.status or 0
        case _:
            return (record.tags or {}).get(name.removeprefix(TAG), "")


def _numbers(record: Record) -> Numbers:
    usage = record.usage
    tokens = [getattr(usage, name) if usage else 0 for name in _TOKENS]
    is_unpriced = record.cost_nanousd is None and (usage is not None or record.unpriced == 1)
    return (record.count, *tokens, record.cost_nanousd or 0, record.count if is_unpriced else 0)


def _add(found: dict[Group, Numbers], group: Group, numbers: Numbers) -> None:
    before = found.get(group)
    found[group] = numbers if before is None else tuple(a + b for a, b in zip(before, numbers, strict=True))


def _sum(wanted: Question, group: Group, numbers: Numbers) -> Sum:
    at, of = group
    fields = dict(zip(wanted.by, (each or None for each in of), strict=True))
    return Sum(_at_us(at, wanted.per), fields, dict(zip(NUMBERS, numbers, strict=True)))


def _time(hour: int, per: Per | None) -> int:
    match per:
        case "hour":
            return hour
        case "day":
            return hour // 24
        case "month":
            return _month(hour)
        case None:
            return 0


def _at_us(at: int, per: Per | None) -> int | None:
    match per:
        case "hour":
            return at * HOUR_US
        case "day":
            return at * 24 * HOUR_US
        case "month":
            return _first_hour(at) * HOUR_US
        case None:
            return None


def _month(hour: int) -> int:
    """Months since the year 0."""
    moment = _EPOCH + datetime.timedelta(hours=hour)
    return moment.year * 12 + moment.month - 1


def _first_hour(month: int) -> int:
    year, index = divmod(month, 12)
    return int((datetime.datetime(year, index + 1, 1, tzinfo=datetime.UTC) - _EPOCH).total_seconds()) // 3600
