"""A PostgreSQL database with a million requests and more, made by the server itself: for plans and times.

`python -m tests.support.many_records 10000000` prints the plans of the usual questions over so many.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing

from penstock.audit.choice import Choice
from penstock.store.asking_statements import page
from penstock.store.database import Value
from penstock.store.migrate import FOLDER, bring_up, read_migrations
from penstock.store.postgres import FLAVOUR, PostgresDatabase
from penstock.store.sqlite import SqliteDatabase
from penstock.store.usage_statements import Question, spend, sums

from .postgres import Postgres

FIRST_DAY, DAYS = 20_000, 30
HOUR = FIRST_DAY * 24
NOON = HOUR + 24 * (DAYS - 1) + 12
"""On the last day."""
BUSY = "key_0"
"""One of a thousand keys, with a tenth of all requests."""

RARE = "rare"
"""A team, a model, a provider and the value of the tag `env` of one request in 20,000."""

_PARTITIONS = f"""
DO $$ BEGIN FOR day IN {FIRST_DAY}..{FIRST_DAY + DAYS} LOOP
EXECUTE format('CREATE TABLE penstock_records_%s PARTITION OF penstock_records FOR VALUES FROM (%s) TO (%s)', day, day, day + 1);
END LOOP; END $$;
"""  # noqa: E501
# Spread over the days by a step that is prime to them; what an entry takes beside its columns is some 400 bytes.
_RECORDS = """
INSERT INTO penstock_records SELECT started / 86400000000, 'one', n, 1, {entry}, n, started, 1, 'req_' || n,
'key_' || CASE WHEN n % 10 = 0 THEN 0 ELSE n * 7919 % 1000 END,
CASE WHEN n % 20000 = 0 THEN 'rare' ELSE 'team_' || n * 7919 % 20 END,
CASE WHEN n % 20000 = 0 THEN 'rare' ELSE 'model_' || n % 5 END,
CASE WHEN n % 20000 = 0 THEN 'rare/x' ELSE 'up/real_' || n % 3 END, CASE WHEN n % 50 = 0 THEN 429 ELSE 200 END,
'complete', NULL, CASE WHEN n % 20000 = 0 THEN '{{"env":"rare"}}' WHEN n % 2 = 0 THEN '{{"env":"prod"}}' END{tags},
900, 80, 0, 0, 0, 0, 0, 1000000, 1000000
FROM (SELECT n, {first} * 86400000000 + n * ({days} * 86400000000 / {count}) AS started FROM {numbers}) AS made;
"""
_IN_POSTGRES = {
    "tags": "::jsonb",
    "numbers": "generate_series(1::bigint, {count} - 1) AS n",
    "entry": "sha256(n::text::bytea), NULL, NULL, decode(repeat(md5(n::text), {width}), 'hex')",
}
_IN_SQLITE = {
    "tags": "",
    "numbers": "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT {count} - 1) SELECT n FROM c)",
    "entry": "randomblob(32), NULL, zeroblob({private}), randomblob({width} * 16)",
}
_USAGE = """
INSERT INTO penstock_usage SELECT started_us / 3600000000, key_id, team, model, target, status, '{}', sum(count),
sum(prompt_tokens), sum(completion_tokens), sum(cached_tokens), sum(cache_write_tokens), sum(reasoning_tokens),
sum(audio_tokens), sum(image_tokens), sum(cost_nanousd), 0 FROM penstock_records GROUP BY 1, 2, 3, 4, 5, 6;
ANALYZE penstock_records, penstock_usage;
"""


def fill(postgres: Postgres, name: str, count: int, width: int = 25) -> None:
    """Makes the schema, so many requests in 30 days, and their sums; `width`: of an entry, in 16 bytes."""

    async def migrate() -> None:
        database = PostgresDatabase(postgres.url(name))
        try:
            await bring_up(database, read_migrations(FOLDER / "postgres"), migrate=True)
        finally:
            await database.close()

    asyncio.run(migrate())
    postgres.sql(_PARTITIONS + _records(_IN_POSTGRES, DAYS, count, width) + _USAGE, name)


def fill_file(path: str, days: int, count: int, private: int) -> None:
    """The same in SQLite, in so many days and without sums; `private`: bytes of each private part."""

    async def migrate() -> None:
        database = SqliteDatabase(path)
        try:
            await database.open()
            await bring_up(database, read_migrations(FOLDER / "sqlite"), migrate=True)
        finally:
            await database.close()

    asyncio.run(migrate())
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(_records(_IN_SQLITE, days, count, 14, private))


def _records(flavour: Mapping[str, str], days: int, count: int, width: int, private: int = 0) -> str:
    pieces = {name: sql.format(count=count, width=width, private=private) for name, sql in flavour.items()}
    return _RECORDS.format(first=FIRST_DAY, days=days, count=count, **pieces)


def questions() -> dict[str, tuple[str, Sequence[Value]]]:
    """The statements that are asked most, and what is put into them."""
    since, until = NOON - 12, NOON + 12
    noon_us = NOON * 3_600_000_000
    return {
        "a day of a key, summed": sums(Question(key=BUSY, since_hour=since, until_hour=until), 10_001, FLAVOUR),
        "a month of a key, by day and model": sums(
            Question(key=BUSY, by=("model",), per="day", since_hour=HOUR, until_hour=NOON), 10_001, FLAVOUR
        ),
        "a day of all, by key": sums(Question(by=("key",), since_hour=since, until_hour=until), 10_001, FLAVOUR),
        "what a key has spent": spend(BUSY, NOON - 12, HOUR, FLAVOUR),
        "the newest records": page(Choice(), True, None, 101, FLAVOUR),
        "the newest records of a key": page(Choice(key=BUSY), True, None, 101, FLAVOUR),
        "refusals of a key since a moment": page(
            Choice(key=BUSY, status="4xx", since_us=noon_us), False, None, 101, FLAVOUR
        ),
        "the newest records of a rare team": page(Choice(team=RARE), True, None, 101, FLAVOUR),
        "the newest records with a rare tag": page(Choice(tag=("env", RARE)), True, None, 101, FLAVOUR),
        "a request by its id": page(Choice(request_id="req_77"), True, None, 101, FLAVOUR),
    }


def _explain(postgres: Postgres, name: str, sql: str, values: Sequence[Value]) -> str:
    types = ", ".join("text" if isinstance(value, str) else "bigint" for value in values)
    given = ", ".join(f"'{value!s}'" for value in values)
    prepared = f"SET plan_cache_mode = force_custom_plan; PREPARE asked ({types}) AS {sql};"
    return postgres.sql(f"{prepared} EXPLAIN (ANALYZE, BUFFERS OFF, COSTS OFF) EXECUTE asked ({given})", name)


def main(count: int, width: int) -> None:
    """Prints the plans."""
    with Postgres() as postgres:
        name = postgres.create()
        fill(postgres, name, count, width)
        print(postgres.sql("SELECT version(); SELECT count(*) FROM penstock_usage;", name))
        for asked, (sql, values) in questions().items():
            _explain(postgres, name, sql, values)  # once before, so that it is measured warm
            print(f"\n-- {asked}\n{_explain(postgres, name, sql, values)}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 25)
