"""What limits used before a data_dir was lost, from the sums of the store."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.config.load import load
from penstock.config.model import Config
from penstock.limits.earlier import DAYS, HOURS, Gathering, Places, spans
from penstock.store.asking import Sum
from penstock.store.interface import StoreAwayError
from penstock.store.usage_statements import NUMBERS, Question
from penstock.times import HOUR_US
from tests.support.stored_rows import Chain, record, used
from tests.unit.fake_asking import FakeAsking

NOW_HOUR = 20_000 * 24 + 13
NOW_US = NOW_HOUR * HOUR_US + 1_000


TEXT = """
providers: {up: {dialect: openai, base_url: http://h/v1}}
models:
  fast: {targets: [{provider: up}]}
  "g-*": {targets: [{provider: up}]}
  "g-long-*": {targets: [{provider: up}]}
limits:
  models: {fast: &some {tokens: 1/day}, "g-*": *some, up/x: *some, g-long-1: *some}
  providers: {up: *some}
"""


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Config]:
    def make(more: str = "") -> Config:
        file = tmp_path / "penstock.yaml"
        file.write_text(TEXT + more)
        return load(str(file), {}).config

    return make


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata"])
def test_hours_and_days_of_the_zone_follow_one_another_without_a_gap(zone: str) -> None:
    found = list(spans(NOW_HOUR, zone))
    assert [begin for begin, _ in found[1:]] == [end for _, end in found[:-1]]
    assert found[-HOURS:] == [(hour, hour + 1) for hour in range(NOW_HOUR - HOURS + 1, NOW_HOUR + 1)]
    assert found[0][0] <= NOW_HOUR - DAYS * 24
    assert all(end - begin <= 25 for begin, end in found)


def test_days_begin_at_midnight_of_the_zone() -> None:
    winter = int(datetime.datetime(2026, 1, 20, 12, tzinfo=datetime.UTC).timestamp()) // 3_600
    begins = {begin % 24 for begin, _ in list(spans(winter, "Europe/Berlin"))[: -HOURS - 1]}
    assert begins == {23}
    assert {begin % 24 for begin, _ in list(spans(winter, "UTC"))[: -HOURS - 1]} == {0}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("fast", "fast"),
        ("up/x", "up/x"),
        ("up/y", None),
        ("g-1", "g-*"),
        ("g-long-1", "g-long-1"),
        ("g-long-2", None),
        ("other", None),
        ("", None),
    ],
)
def test_a_model_counts_where_its_limits_are(name: str, found: str | None, config: Callable[..., Config]) -> None:
    assert Places(config()).model(name) == (None if found is None else ("model", found))


def test_without_keys_there_is_one(config: Callable[..., Config]) -> None:
    assert Places(config()).key("") is None
    assert Places(config("auth: open\n")).key("") == ("key", "open")


async def test_each_place_gets_what_was_used_there_by_the_end_of_an_hour_or_day(config: Callable[..., Config]) -> None:
    chain = Chain("one")
    old = (NOW_HOUR - 24 * 5) * HOUR_US
    fields: dict[str, Any] = {"usage": used(10, 2), "cost_nanousd": 7, "key_id": "k", "team": "t", "target": "up/real"}
    chain.add(record(1, old, **fields))
    chain.add(record(2, NOW_US - 500, **fields))
    chain.add(record(3, NOW_US - 300, **fields | {"model": "g-7", "team": None}))
    store = FakeAsking()
    store.ship(chain)
    found = {each[:3]: each[3:] for each in await _gathering(config()).ask(store, NOW_US)}
    then, now = 19_996 * 24 * HOUR_US - 1, (NOW_HOUR + 1) * HOUR_US - 1
    assert found == {
        ("key", "k", then): (1, 12, 7),
        ("team", "t", then): (1, 12, 7),
        ("model", "fast", then): (1, 12, 7),
        ("provider", "up", then): (1, 12, 7),
        ("global", "", then): (1, 12, 7),
        ("key", "k", now): (2, 24, 14),
        ("team", "t", now): (1, 12, 7),
        ("model", "fast", now): (1, 12, 7),
        ("model", "g-*", now): (1, 12, 7),
        ("provider", "up", now): (2, 24, 14),
        ("global", "", now): (2, 24, 14),
    }
    spans_asked = len(list(spans(NOW_HOUR, "UTC")))
    assert store.asked == ["sums"] * (spans_asked + 2), "where nothing was used one question says so"
    store = FakeAsking()
    assert await _gathering(config()).ask(store, NOW_US) == []
    assert store.asked == ["sums"] * spans_asked


@pytest.mark.parametrize(
    ("status", "target", "counts"),
    [
        (200, "up/real", True),
        (200, None, True),
        (502, None, True),
        (504, None, True),
        (503, "up/real", True),
        (429, "up/real", True),
        (429, None, False),
        (401, None, False),
        (503, None, False),
    ],
)
async def test_a_request_counts_unless_it_was_not_let_in(
    status: int, target: str | None, counts: bool, config: Callable[..., Config]
) -> None:
    chain = Chain("one")
    fields: dict[str, Any] = {"key_id": "k", "team": "t", "cost_nanousd": 7}
    chain.add(record(1, NOW_US, **fields, target="up/real"))
    for number in (2, 3):
        chain.add(record(number, NOW_US, **fields, status=status, target=target))
    chain.add(record(4, NOW_US, **fields, status=status, target="up/real"))
    store = FakeAsking()
    store.ship(chain)
    found = {each[:2]: each[3] for each in await _gathering(config()).ask(store, NOW_US)}
    expected = 4 if counts else 2
    places = [("key", "k"), ("team", "t"), ("model", "fast"), ("global", "")]
    assert found == dict.fromkeys(places, expected) | {("provider", "up"): 4 if target else 2}


@pytest.mark.parametrize("status", [401, 503])
async def test_what_another_node_ships_between_two_questions_makes_nothing_less(
    status: int, config: Callable[..., Config]
) -> None:
    chain = Chain("one")
    fields: dict[str, Any] = {"key_id": "k", "team": "t", "cost_nanousd": 7}
    chain.add(record(1, NOW_US, **fields, target="up/real"))
    for number in (2, 3, 4, 5):
        chain.add(record(number, NOW_US, **fields, status=status, target=None))
    store = FakeAsking()
    store.ship(chain, 2)

    def ships() -> None:
        if len(store.asked) > len(list(spans(NOW_HOUR, "UTC"))):  # the first question about the hour was answered
            store.ship(chain)

    store.before_rows = ships
    found = {each[:2]: each[3] for each in await _gathering(config()).ask(store, NOW_US)}
    assert len(store.rows) == 5, "it was shipped meanwhile"
    assert found == dict.fromkeys([("key", "k"), ("team", "t"), ("model", "fast"), ("global", "")], 1) | {
        ("provider", "up"): 1
    }


async def test_no_sum_is_below_nothing(config: Callable[..., Config]) -> None:
    class Wrong:
        async def sums(self, wanted: Question, limit: int, instances: object) -> tuple[list[Sum], None]:
            of = ["k" if field == "key" else 200 if field == "status" else "" for field in wanted.by]
            return [(0, tuple(of), (-1,) * len(NUMBERS))], None

    found = await _gathering(config()).ask(Wrong(), NOW_US)
    assert {each[3:] for each in found} == {(0, 0, 0)}


async def test_what_was_answered_and_is_over_is_not_asked_again(config: Callable[..., Config]) -> None:
    chain = Chain("one")
    for number, hour in enumerate((NOW_HOUR - 1, NOW_HOUR), 1):
        chain.add(record(number, hour * HOUR_US, key_id="k"))
    store, gathering = FakeAsking(), _gathering(config())
    store.ship(chain)

    def fails() -> None:
        if len(store.asked) == 60:
            raise StoreAwayError("it took too long")

    store.before_rows = fails
    with pytest.raises(StoreAwayError):
        await gathering.ask(store, NOW_US)
    answered = len(store.asked) - 1
    found = await gathering.ask(store, NOW_US)
    assert sorted(found) == sorted(await _gathering(config()).ask(_again(store), NOW_US))
    asked = len(list(spans(NOW_HOUR, "UTC"))) + 2
    assert len(store.asked) == asked + 1, f"{answered} were not asked again"
    await gathering.ask(store, NOW_US)
    assert len(store.asked) == asked + 3, "the hour that runs is"
    await gathering.ask(store, NOW_US + HOUR_US)
    assert len(store.asked) == asked + 3 + 4, "and once that is over it, the next one, and the rest of a day"


async def test_the_limits_in_force_are_asked_for(config: Callable[..., Config]) -> None:
    chain = Chain("one")
    chain.add(record(1, (NOW_HOUR - 1) * HOUR_US, key_id="k", model="fast"))
    store, after = FakeAsking(), config()
    store.ship(chain)
    in_force = [replace(after, limits=replace(after.limits, models={}))]
    gathering = Gathering(lambda: in_force[-1])
    assert ("model", "fast") not in {each[:2] for each in await gathering.ask(store, NOW_US)}
    in_force.append(after)
    assert ("model", "fast") in {each[:2] for each in await gathering.ask(store, NOW_US)}


def _gathering(config: Config) -> Gathering:
    return Gathering(lambda: config)


def _again(store: FakeAsking) -> FakeAsking:
    """The same where nothing was asked yet."""
    again = FakeAsking()
    again.rows = store.rows
    return again
