"""What native is told of a key's spending, and what it costs the store."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from penstock.audit.spend import Spend
from penstock.times import DAY_US, HOUR_US
from tests.unit.fake_asking import FakeAsking

NOW = 20_003 * DAY_US + 13 * HOUR_US  # the 7th of October
TODAY, MONTH = 20_003 * 24, 20_000 * 24 - 3 * 24


async def ask(spend: Spend, key: str = "k") -> Any:
    return msgspec.json.decode(await spend(msgspec.json.encode({"key": key})))


async def test_today_and_this_month_are_told_in_dollars() -> None:
    store = FakeAsking()
    assert await ask(Spend(store, lambda: NOW)) == {
        "today": {"requests": 1, "tokens": 20, "cost_usd": "0.003", "unpriced": 0},
        "month": {"requests": 5, "tokens": 60, "cost_usd": "7.000000001", "unpriced": 1},
    }
    assert store.asked == [f"spend k {TODAY} {MONTH}"]


async def test_a_key_that_asks_all_the_time_costs_a_statement_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    store = FakeAsking()
    spend = Spend(store, lambda: NOW)
    first = await asyncio.gather(*(ask(spend) for _ in range(50)))
    assert len(store.asked) == 1
    assert all(each == first[0] for each in first)
    await ask(spend, "other")
    assert len(store.asked) == 2
    monkeypatch.setattr("penstock.audit.spend.KEPT_S", 0)
    again = Spend(store, lambda: NOW)
    await ask(again)
    await asyncio.sleep(0.001)
    await ask(again)
    assert len(store.asked) == 4


async def test_many_keys_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.audit.spend.MOST_KEPT", 2)
    spend = Spend(FakeAsking(), lambda: NOW)
    found = [await ask(spend, key) for key in ("a", "b", "c")]
    assert [each is None for each in found] == [False, False, True]
    assert len(spend._kept) == 2


async def test_what_cannot_be_told_is_null(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await ask(Spend(None)) is None
    store = FakeAsking()
    store.away = True
    assert await ask(Spend(store)) is None

    async def never(*_: Any) -> tuple[int, ...]:
        await asyncio.Event().wait()
        return ()

    slow = FakeAsking()
    monkeypatch.setattr(slow, "spend", never)
    monkeypatch.setattr("penstock.audit.spend.ANSWER_S", 0.01)
    assert await ask(Spend(slow)) is None
