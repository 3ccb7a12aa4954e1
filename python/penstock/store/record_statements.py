"""The SQL on records, watermarks and sums that SQLite and PostgreSQL both run, but for the places a flavour fills."""

from __future__ import annotations

from penstock.store.database import Flavour

TOKENS = (
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "audio_tokens",
    "image_tokens",
)
COLUMNS = (
    "day", "instance", "sequence", "kind", "hash", "digest", "private", "public", "number", "started_us", "count",
    "request_id", "key_id", "team", "model", "target", "status", "outcome", "error", "tags",
    *TOKENS, "cost_nanousd", "total_us",
)  # fmt: skip
"""Of `penstock_records`, in the order in which native packs them."""

_WATERMARK = ("instance", "segment", "byte_offset", "sequence", "hash", "day", "ended", "at_us", "begun")
_SHOWN = tuple(name for name in _WATERMARK if name != "at_us")

# What one request may add to a sum, and what a sum comes to at most: an upstream that states absurd numbers must not
# take it, or what is made of ten thousand of them, beyond 64 bits.
_MOST_TOKENS = 10**12
_MOST_NANOUSD = 10**13
_MOST_SUM = 9 * 10**14
_YEAR_10000_US = 253_402_300_800_000_000
MADE_UP_STATUS = 404
MADE_UP_ERRORS = (
    "model_not_allowed", "model_unpriced", "dialect_not_supported", "invalid_request", "request_exceeds_limit",
    "store_unavailable",
)  # fmt: skip
"""Refusals of ours that no limit counts, whatever name is asked for: `provider/` takes any behind it."""
_ERRORS = ", ".join(f"'{error}'" for error in MADE_UP_ERRORS)
_MADE_UP = f"coalesce(r.status, 0) = {MADE_UP_STATUS} OR coalesce(r.error, '') IN ({_ERRORS})"


def _places(first: int, count: int) -> str:
    return ", ".join(f"${n}" for n in range(first, first + count))


def watermarks(count: int) -> str:
    """Those of as many instances."""
    return f"SELECT {', '.join(_SHOWN)} FROM penstock_shipped WHERE instance IN ({_places(1, count)})"  # noqa: S608


ALL_WATERMARKS = f"SELECT {', '.join(_SHOWN)} FROM penstock_shipped"  # noqa: S608
FIRST_WATERMARK = (
    f"INSERT INTO penstock_shipped ({', '.join(_WATERMARK)}) VALUES ({_places(1, len(_WATERMARK))})"  # noqa: S608
    " ON CONFLICT DO NOTHING RETURNING instance"
)
NEXT_WATERMARK = (
    f"UPDATE penstock_shipped SET {', '.join(f'{name} = ${n}' for n, name in enumerate(_WATERMARK[1:], 2))}"  # noqa: S608
    " WHERE instance = $1 AND segment = $10 AND byte_offset = $11 AND sequence = $12 AND ended = 0 RETURNING instance"
)


def partition(name: str, day: int) -> str:
    """Makes the table of a day. Attached, not made as a part: that would wait for everybody who reads records."""
    return (
        f"CREATE TABLE {name} (LIKE penstock_records INCLUDING ALL);"
        f" ALTER TABLE penstock_records ATTACH PARTITION {name} FOR VALUES FROM ({day}) TO ({day + 1})"
    )


def sum_range(flavour: Flavour) -> str:
    """Adds the requests of the instance `$1` behind the sequence `$2` up to `$3`, of the days `$4` to `$5`."""
    where = "r.instance = $1 AND r.sequence > $2 AND r.sequence <= $3 AND r.day >= $4 AND r.day <= $5"
    return _sum(flavour, where)


def sum_some(flavour: Flavour, count: int) -> str:
    """Adds the requests of the instance `$1`, of the days `$2` to `$3`, that have one of `count` sequence numbers."""
    return _sum(flavour, f"r.instance = $1 AND r.day >= $2 AND r.day <= $3 AND r.sequence IN ({_places(4, count)})")


def interrupt(count: int) -> str:
    """The streams of the instance `$1`, of the days `$2` to `$3`, that have one of `count` sequence numbers ended with
    their process; gives the numbers of those that are there."""
    return (
        "UPDATE penstock_records SET outcome = 'interrupted', status = 200, count = 1"  # noqa: S608
        f" WHERE instance = $1 AND day >= $2 AND day <= $3 AND kind = 2 AND sequence IN ({_places(4, count)})"
        " RETURNING sequence"
    )


def _sum(flavour: Flavour, where: str) -> str:
    """Rows are written in the order of their keys: two that add to the same ones wait for each other, never crosswise.
    What does not know when it began, or says so beyond belief, is in no sum. Names that clients make up are in none
    either: see `audit.sums.is_made_up`."""
    texts = [f"coalesce(r.{name}, '')" for name in ("key_id", "team")]
    texts += [f"CASE WHEN {_MADE_UP} THEN '' ELSE coalesce(r.{name}, '') END" for name in ("model", "target")]
    groups = ["r.started_us / 3600000000", *texts, "coalesce(r.status, 0)", flavour.tags]
    most = [(name, _MOST_TOKENS) for name in TOKENS] + [("cost_nanousd", _MOST_NANOUSD)]
    sums = [f"sum(coalesce(CASE WHEN r.{name} > {n} THEN {n} ELSE r.{name} END, 0))" for name, n in most]
    unpriced = "r.prompt_tokens IS NOT NULL AND r.cost_nanousd IS NULL"
    sums = ["sum(r.count)", *sums, f"sum(CASE WHEN {unpriced} THEN r.count ELSE 0 END)"]
    values = [*groups, *(f"CASE WHEN {each} > {_MOST_SUM} THEN {_MOST_SUM} ELSE {each} END" for each in sums)]
    names = ("requests", *TOKENS, "cost_nanousd", "unpriced")
    places = ", ".join(str(n) for n in range(1, len(groups) + 1))
    added = ", ".join(
        f"{name} = CASE WHEN penstock_usage.{name} > {_MOST_SUM} - excluded.{name} THEN {_MOST_SUM}"
        f" ELSE penstock_usage.{name} + excluded.{name} END"
        for name in names
    )
    return (
        f"INSERT INTO penstock_usage (hour, key_id, team, model, target, status, tags, {', '.join(names)})"  # noqa: S608
        f" SELECT {', '.join(values)} FROM penstock_records AS r WHERE {where} AND r.outcome IS NOT NULL"
        f" AND r.started_us >= 0 AND r.started_us < {_YEAR_10000_US}"
        f" GROUP BY {places} ORDER BY {places}"
        f" ON CONFLICT ({flavour.usage_of}) DO UPDATE SET {added}"
    )


NEWEST_HOUR = "SELECT max(hour) FROM penstock_usage WHERE hour < $1"
LOCK_BRIEFLY = "SELECT set_config('lock_timeout', '1s', true)"
"""Whoever waits for a table keeps those waiting that come behind."""


def some_rows(row: str, bytes: str, where: str, most: str, most_bytes: str) -> str:
    """A query: the first rows in the order of the columns `row`, at most `most`, and no more once those before it have
    `most_bytes`. The lengths alone are read.
    """
    of = f"SELECT {row}, {bytes} AS bytes FROM penstock_records WHERE {where} ORDER BY {row} LIMIT {most}"  # noqa: S608
    summed = f"SELECT {row}, sum(bytes) OVER (ORDER BY {row}) - bytes AS before FROM ({of}) AS a"  # noqa: S608
    return f"SELECT {row} FROM ({summed}) AS b WHERE before < {most_bytes}"  # noqa: S608


_BYTES = "length(public) + coalesce(length(private), 0)"
_OLD_RECORDS = some_rows("day, rowid", _BYTES, "day < $1", "$2", "$3")
PURGE_RECORDS = f"DELETE FROM penstock_records WHERE (day, rowid) IN ({_OLD_RECORDS}) RETURNING sequence"  # noqa: S608
"""Of SQLite, the oldest day first: what a process left is shipped late."""
_OLD_USAGE = "SELECT hour, key_id, team, model, target, status, tags FROM penstock_usage WHERE hour < $1 LIMIT $2"
PURGE_USAGE = (
    f"DELETE FROM penstock_usage WHERE (hour, key_id, team, model, target, status, tags) IN ({_OLD_USAGE})"  # noqa: S608
    " RETURNING hour"
)
PURGE_WATERMARKS = "DELETE FROM penstock_shipped WHERE ended = 1 AND day < $1 RETURNING instance"
