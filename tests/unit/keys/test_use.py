"""Last-used times: in batches, later when the store is away, never lost while there is room."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from penstock.keys.model import Key
from penstock.keys.use import LastUsed
from tests.unit.conftest import until
from tests.unit.fake_store import FakeStore
from tests.unit.keys.scene import Lines, Scene, foreign, put

ONE, TWO = "sk-one-0123456789abcdef", "sk-two-0123456789abcdef"


class Used:
    def __init__(self) -> None:
        self.next: dict[str, int] = {}

    def __call__(self) -> bytes:
        given, self.next = self.next, {}
        return msgspec.json.encode(given)


async def make() -> tuple[LastUsed, Used, FakeStore]:
    store, used = FakeStore(), Used()
    for secret in (ONE, TWO):
        await put(store, foreign(secret))
    return LastUsed(used, store, Lines(), every_s=0.01), used, store


async def test_times_reach_the_store_and_only_rise() -> None:
    writer, used, store = await make()
    used.next = {foreign(ONE).id: 5, "unknown": 7}
    await writer.write()
    used.next = {foreign(ONE).id: 4}
    await writer.write()
    assert store.rows(Key)[foreign(ONE).id].last_used_us == 5


async def test_nothing_used_asks_nothing() -> None:
    writer, _, store = await make()
    calls = len(store.calls)
    await writer.write()
    assert len(store.calls) == calls


async def test_an_outage_holds_times_back_and_they_follow() -> None:
    writer, used, store = await make()
    store.away = True
    used.next = {foreign(ONE).id: 5}
    await writer.write()
    used.next = {foreign(ONE).id: 9, foreign(TWO).id: 8}
    await writer.write()
    store.away = False
    await writer.write()
    assert [key.last_used_us for key in store.rows(Key).values()] == [9, 8]
    assert not writer._held


async def test_what_is_held_is_bounded_and_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.keys.use.MOST", 3)
    writer, used, store = await make()
    store.away = True
    used.next = {"a": 4, "b": 1, "c": 3, "d": 2}
    await writer.write()
    used.next = {"d": 9}
    await writer.write()
    assert writer._held == {"c": 3, "a": 4, "d": 9}


async def test_it_writes_time_after_time_and_once_more_at_the_end() -> None:
    writer, used, store = await make()
    writer.start()
    used.next = {foreign(ONE).id: 5}
    await until(lambda: store.rows(Key)[foreign(ONE).id].last_used_us == 5)
    used.next = {foreign(TWO).id: 6}
    await writer.stop()
    assert store.rows(Key)[foreign(TWO).id].last_used_us == 6


async def test_a_desk_writes_them_when_it_stops(node: Callable[..., Scene]) -> None:
    scene = node()
    await put(scene.store, foreign(ONE))
    await scene.start()
    scene.table.used = {foreign(ONE).id: 77}
    await scene.stop()
    assert scene.store.rows(Key)[foreign(ONE).id].last_used_us == 77
