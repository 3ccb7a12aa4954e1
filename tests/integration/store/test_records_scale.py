"""Over a million requests in PostgreSQL the usual questions are answered at once."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from penstock.audit.choice import Choice
from penstock.store.asking import Asking
from penstock.store.postgres import PostgresDatabase
from penstock.store.usage_statements import Question
from tests.support.many_records import BUSY, HOUR, NOON, fill
from tests.support.postgres import Postgres

pytestmark = [pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(300)]
COUNT = 1_000_000
MOST_S = 0.2


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> Iterator[str]:
    name = postgres.create()
    fill(postgres, name, COUNT)
    yield name
    postgres.drop(name)


ASKED: dict[str, Callable[[Asking], Awaitable[Any]]] = {
    "a day of a key": lambda asking: asking.sums(
        Question(key=BUSY, since_hour=NOON - 12, until_hour=NOON + 12), 10_001, ()
    ),
    "a day of a key, by model and hour": lambda asking: asking.sums(
        Question(key=BUSY, by=("model",), per="hour", since_hour=NOON - 12, until_hour=NOON + 12), 10_001, ()
    ),
    "what a key has spent": lambda asking: asking.spend(BUSY, NOON - 12, HOUR + 24 * 7),
    "the newest of a key": lambda asking: asking.page(Choice(key=BUSY), True, None, 101),
    "the newest": lambda asking: asking.page(Choice(), True, None, 101),
    "a request": lambda asking: asking.page(Choice(request_id="req_77"), True, None, 101),
}


@pytest.mark.parametrize("asked", ASKED)
async def test_an_answer_takes_no_more_than_200_ms(postgres: Postgres, database: str, asked: str) -> None:
    asking = Asking(PostgresDatabase(postgres.url(database), pool=1, call_s=20))
    try:
        assert await ASKED[asked](asking)  # connects, and reads what is cold
        times = []
        for _ in range(5):
            began = time.perf_counter()
            await ASKED[asked](asking)
            times.append(time.perf_counter() - began)
        assert statistics.median(times) <= MOST_S, times
    finally:
        await asking.close()


async def test_the_sum_of_a_day_is_right(postgres: Postgres, database: str) -> None:
    asking = Asking(PostgresDatabase(postgres.url(database), pool=1, call_s=20))
    try:
        wanted = Question(key=BUSY, since_hour=NOON - 12, until_hour=NOON + 12)
        ((_, _, numbers),), _ = await asking.sums(wanted, 10, ())
        first, last = (hour * 3_600_000_000 for hour in (NOON - 12, NOON + 12))
        counted = postgres.sql(
            f"SELECT count(*) FROM penstock_records WHERE key_id = '{BUSY}'"  # noqa: S608
            f" AND started_us >= {first} AND started_us < {last}",
            database,
        )
        assert (numbers[0], numbers[1]) == (int(counted), 900 * int(counted))
    finally:
        await asking.close()
