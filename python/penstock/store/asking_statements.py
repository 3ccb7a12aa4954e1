"""The SQL that asks for records: one page in the order of time, and the entries of one instance in theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from penstock.audit.choice import Choice, statuses
from penstock.audit.record import HEAD_BYTES
from penstock.store.database import Flavour, Value
from penstock.store.narrowing import between, target_is
from penstock.store.record_statements import COLUMNS
from penstock.times import DAY_US

MOST = 2**63 - 1
REFUSED = 400
"""The first status of those that have an index of their own."""

ENTRY = "instance, sequence, kind, public, private"
"""The columns of `Stored`."""
_HEADS = ENTRY.replace("private", f"substr(private, 1, {HEAD_BYTES}) AS private")
"""The same without what is long."""

CHECKED = ", ".join(column for column in COLUMNS if column != "instance")
"""The columns of an entry in the order of `audit.stored.Entry`."""

INSTANCES = (
    "WITH RECURSIVE found(instance) AS ("
    "SELECT min(instance) FROM penstock_records UNION ALL"
    " SELECT (SELECT min(r.instance) FROM penstock_records AS r WHERE r.instance > found.instance)"
    " FROM found WHERE found.instance IS NOT NULL)"
    " SELECT instance FROM found WHERE instance IS NOT NULL"
)
"""Every instance that has a row, by as many look-ups in an index."""

ENTRIES = f"SELECT {CHECKED} FROM penstock_records WHERE instance = $1 AND sequence >= $2 ORDER BY sequence LIMIT $3"  # noqa: S608


class Place(NamedTuple):
    """Where a record stands in the order of time; no two stand in one place."""

    started_us: int
    instance: str
    sequence: int


def rows_of(count: int) -> str:
    """As many entries of the instance `$1` by their sequence numbers, and their outcomes."""
    places = ", ".join(f"${n}" for n in range(2, count + 2))
    where = f"instance = $1 AND sequence IN ({places})"
    return f"SELECT {ENTRY}, outcome FROM penstock_records WHERE {where} ORDER BY sequence"  # noqa: S608


def page(
    choice: Choice, newest: bool, after: Place | None, limit: int, flavour: Flavour
) -> tuple[str, Sequence[Value]]:
    """At most `limit` records that are chosen, from behind `after` on."""
    values: list[Value] = []

    def place(value: Value) -> str:
        values.append(value)
        return f"${len(values)}"

    where = ["outcome IS NOT NULL", f"started_us >= {place(max(choice.since_us, 0))}"]
    if choice.since_us > 0:
        # No request ends on a day before it began: older partitions are not even looked at.
        where.append(f"day >= {place(choice.since_us // DAY_US)}")
    if choice.until_us is not None:
        where.append(f"started_us < {place(min(choice.until_us, MOST))}")
    for column, wanted in (
        ("key_id", choice.key),
        ("team", choice.team),
        ("model", choice.model),
        ("outcome", choice.outcome),
        ("request_id", choice.request_id),
    ):
        if wanted is not None:
            where.append(f"{column} = {place(wanted)}")
    if choice.target is not None:
        where.append(target_is(choice.target, place, flavour))
    if choice.status is not None:
        first, last = statuses(choice.status)
        where.append(between("status", (first, last), place))
        if first >= REFUSED:
            where.append(f"status >= {REFUSED}")  # as the index of refusals has it
    if choice.tag is not None:
        name, value = choice.tag
        where.append(flavour.tag_is.format(tags="tags", name=place(name), value=place(value)))
    order, beyond = ("DESC", "<") if newest else ("ASC", ">")
    if after is not None:
        at = place(after.started_us)
        # The first condition is one that an index on the time takes.
        where.append(f"started_us {beyond}= {at}")
        where.append(
            f"(started_us, instance, sequence) {beyond} ({at}, {place(after.instance)}, {place(after.sequence)})"
        )
    by = ", ".join(f"{column} {order}" for column in ("started_us", "instance", "sequence"))
    columns = ENTRY if choice.whole else _HEADS
    sql = f"SELECT {columns} FROM penstock_records WHERE {' AND '.join(where)} ORDER BY {by} LIMIT {place(limit)}"  # noqa: S608
    return sql, values
