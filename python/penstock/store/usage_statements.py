"""The SQL that asks for sums: by any fields of `penstock_usage`, per hour, day or month."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from penstock.store.database import Flavour, Value
from penstock.store.narrowing import Put, between, target_is

Per = Literal["hour", "day", "month"]

COLUMNS = {"key": "key_id", "team": "team", "model": "model", "target": "target", "status": "status"}
"""What sums can be taken by beside `tag:NAME`, and in which column it is."""

TAG = "tag:"
NUMBERS = (
    "requests",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "audio_tokens",
    "image_tokens",
    "cost_nanousd",
    "unpriced",
)
"""What is summed, in the order of the columns."""


class Question(Struct, frozen=True, kw_only=True):
    """Which sums are wanted, of whole hours since 1970 UTC; `until_hour` is the first that does not count."""

    by: tuple[str, ...] = ()
    """Names of `COLUMNS`, or `tag:NAME`."""
    per: Per | None = None
    since_hour: int = 0
    until_hour: int
    key: str | None = None
    team: str | None = None
    model: str | None = None
    target: str | None = None
    """`provider/model`, or the provider alone."""
    statuses: tuple[int, int] | None = None
    """The first and the last that count."""
    tag: tuple[str, str] | None = None


def sums(wanted: Question, limit: int, flavour: Flavour) -> tuple[str, Sequence[Value]]:
    """Rows of time (0 without `per`), the fields of `by`, the numbers; in the order of the first two."""
    values: list[Value] = []

    def put(value: Value) -> str:
        values.append(value)
        return f"${len(values)}"

    of = [_time(wanted.per, flavour), *(_field(each, put, flavour) for each in wanted.by)]
    where = [f"hour >= {put(wanted.since_hour)}", f"hour < {put(wanted.until_hour)}"]
    for column, text in (("key_id", wanted.key), ("team", wanted.team), ("model", wanted.model)):
        if text is not None:
            where.append(f"{column} = {put(text)}")
    if wanted.target is not None:
        where.append(target_is(wanted.target, put, flavour))
    if wanted.statuses is not None:
        where.append(between("status", wanted.statuses, put))
    if wanted.tag is not None:
        name, value = wanted.tag
        where.append(f"{flavour.tag_of.format(tags='tags', name=put(name))} = {put(value)}")
    fields = [f"{expression} AS f{n}" for n, expression in enumerate(of)]
    places = ", ".join(f"f{n}" for n in range(len(of)))
    inner = f"SELECT {', '.join([*fields, *NUMBERS])} FROM penstock_usage WHERE {' AND '.join(where)}"  # noqa: S608
    numbers = ", ".join(flavour.sum.format(value=name) for name in NUMBERS)
    sql = f"SELECT {places}, {numbers} FROM ({inner}) AS u GROUP BY {places} ORDER BY {places} LIMIT {put(limit)}"  # noqa: S608
    return sql, values


def spend(key: str, today: int, month: int, flavour: Flavour) -> tuple[str, Sequence[Value]]:
    """One row: requests, tokens, cost and unpriced of the hours from `today` on, then the same from `month` on."""
    parts = ("requests", "(prompt_tokens + completion_tokens)", "cost_nanousd", "unpriced")
    values = [*(f"(CASE WHEN hour >= $2 THEN {part} ELSE 0 END)" for part in parts), *parts]
    sums = ", ".join(f"coalesce({flavour.sum.format(value=value)}, 0)" for value in values)
    sql = f"SELECT {sums} FROM penstock_usage WHERE key_id = $1 AND hour >= $3"  # noqa: S608
    return sql, (key, today, month)


def _time(per: Per | None, flavour: Flavour) -> str:
    match per:
        case "hour":
            return "hour"
        case "day":
            return "hour / 24"
        case "month":
            return flavour.month.format(hour="hour")
        case None:
            return "0"


def _field(name: str, put: Put, flavour: Flavour) -> str:
    if name.startswith(TAG):
        return f"coalesce({flavour.tag_of.format(tags='tags', name=put(name.removeprefix(TAG)))}, '')"
    return COLUMNS[name]
