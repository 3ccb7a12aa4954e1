"""The SQL on keys, teams, tokens and changes, which SQLite and PostgreSQL both run as it stands."""

from __future__ import annotations

from penstock.keys.model import Key, Row, Team
from penstock.store.database import Flavour, Value
from penstock.store.interface import Filter
from penstock.store.rows import CHANGE_COLUMNS, KEYS, SHAPES, Shape, fold

STATE = (
    "SELECT s.id, s.version, (SELECT c.id FROM penstock_changes AS c WHERE c.version = s.version)"
    " FROM penstock_state AS s"
)
"""The last is the id of the newest change, if it is kept."""

NEXT_VERSION = "UPDATE penstock_state SET version = version + 1 RETURNING version"
"""Whoever changes something stands in line here until the change before is committed, or was never made."""

CHANGE_MADE = "SELECT version FROM penstock_changes WHERE id = $1"
TEAM_STATE = "SELECT state FROM penstock_teams WHERE id = $1"
TEAM_BY_NAME = "SELECT id FROM penstock_teams WHERE name_hash = $1 AND state <> 'deleted'"
TEAM_HAS_KEYS = "SELECT id FROM penstock_keys WHERE team = $1 AND state <> 'deleted' LIMIT 1"

DROP_HASHES = "DELETE FROM penstock_secrets WHERE key_id = $1"
DROP_HASH = "DELETE FROM penstock_secrets WHERE key_id = $1 AND generation = $2"
ADD_HASH = "INSERT INTO penstock_secrets (key_id, generation, hash, until_us) VALUES ($1, $2, $3, $4)"
END_HASH = "UPDATE penstock_secrets SET until_us = $3 WHERE key_id = $1 AND generation = $2"
REPLACE_HASH = (
    "UPDATE penstock_secrets SET hash = $4 WHERE key_id = $1 AND generation = $2 AND hash = $3 RETURNING generation"
)
HAS_HASH = "SELECT generation FROM penstock_secrets WHERE key_id = $1 AND generation = $2 AND hash = $3"


def _places(count: int) -> str:
    return ", ".join(f"${n}" for n in range(1, count + 1))


ADD_CHANGE = f"INSERT INTO penstock_changes ({', '.join(CHANGE_COLUMNS)}) VALUES ({_places(len(CHANGE_COLUMNS))})"  # noqa: S608


def put(shape: Shape) -> str:
    """Writes a whole row, new or not. A key's last use is only ever raised, whatever its writer had seen of it."""
    new = {column: f"excluded.{column}" for column in shape.columns if column != "id"}
    if shape is KEYS:
        new["last_used_us"] = (
            "CASE WHEN excluded.state = 'deleted' THEN NULL"
            " WHEN excluded.last_used_us IS NULL OR excluded.last_used_us < penstock_keys.last_used_us"
            " THEN penstock_keys.last_used_us ELSE excluded.last_used_us END"
        )
    columns, places = ", ".join(shape.columns), _places(len(shape.columns))
    values = ", ".join(f"{column} = {value}" for column, value in new.items())
    return f"INSERT INTO {shape.table} ({columns}) VALUES ({places}) ON CONFLICT (id) DO UPDATE SET {values}"  # noqa: S608


def columns(shape: Shape) -> tuple[str, ...]:
    """The names of what `select` gives."""
    return (*shape.columns, "secrets") if shape is KEYS else shape.columns


def select(shape: Shape, flavour: Flavour) -> str:
    """Whole rows as `r`, without a condition yet."""
    values = [f"{flavour.secrets} AS secrets" if name == "secrets" else f"r.{name}" for name in columns(shape)]
    return f"SELECT {', '.join(values)} FROM {shape.table} AS r"  # noqa: S608


def of_ids(shape: Shape, flavour: Flavour, count: int) -> str:
    """Live rows of as many ids."""
    return f"{select(shape, flavour)} WHERE r.id IN ({_places(count)}) AND r.state <> 'deleted'"


def written_after(shape: Shape, flavour: Flavour) -> str:
    """Rows of versions above `$1`, at most `$2`, oldest first."""
    return f"{select(shape, flavour)} WHERE r.version > $1 ORDER BY r.version LIMIT $2"


def listing(
    kind: type[Row], filter: Filter, after: str | None, limit: int, flavour: Flavour
) -> tuple[str, list[Value]]:
    """A page of live rows in the order of ids. A filter on what the kind does not have matches nothing."""
    values: list[Value] = []

    def place(value: Value) -> str:
        values.append(value)
        return f"${len(values)}"

    conditions = ["r.state <> 'deleted'"]
    if after is not None:
        conditions.append(f"r.id > {place(after)}")
    for column in ("team", "owner"):
        if (wanted := getattr(filter, column)) is not None:
            conditions.append(f"r.{column} = {place(wanted)}" if kind is Key else "1 = 0")
    if filter.state is not None:
        conditions.append(f"r.state = {place(filter.state)}")
    if filter.name is not None:
        conditions.append(f"{flavour.part.format(text='r.folded', part=place(fold(filter.name)))} > 0")
    if filter.tag is not None:
        name, value = filter.tag
        has_tags = kind in (Key, Team)
        conditions.append(flavour.tagged.format(name=place(name), value=place(value)) if has_tags else "1 = 0")
    where = " AND ".join(conditions)
    return f"{select(SHAPES[kind], flavour)} WHERE {where} ORDER BY r.id LIMIT {place(limit)}", values


def purge(shape: Shape) -> str:
    """Removes tombstones older than `$1`, at most `$2`."""
    old = f"SELECT id FROM {shape.table} WHERE state = 'deleted' AND deleted_us < $1 LIMIT $2"  # noqa: S608
    return f"DELETE FROM {shape.table} WHERE id IN ({old}) AND state = 'deleted' RETURNING id"  # noqa: S608


def changes(subject: str | None, before: int | None, limit: int) -> tuple[str, list[Value]]:
    """Changes, newest first."""
    values: list[Value] = []
    conditions = []
    for condition, value in (("subject = ", subject), ("version < ", before)):
        if value is not None:
            values.append(value)
            conditions.append(f"{condition}${len(values)}")
    values.append(limit)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    columns = ", ".join(CHANGE_COLUMNS)
    return f"SELECT {columns} FROM penstock_changes{where} ORDER BY version DESC LIMIT ${len(values)}", values  # noqa: S608
