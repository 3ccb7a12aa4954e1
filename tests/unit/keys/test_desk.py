"""The desk as a whole: what it makes in data_dir, how it starts and stops, and 100,000 keys."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.keys.argon2id import OWASP, Cost
from penstock.keys.desk import Desk
from penstock.keys.model import Change, Key
from penstock.keys.wishes import NewKey
from tests.unit.fake_store import FakeStore
from tests.unit.keys.scene import TINY, AnyModel, Lines, Scene, foreign

Node = Callable[..., Scene]
MANY = 100_000


async def test_it_makes_the_digest_key_before_there_is_an_engine(tmp_path: Path) -> None:
    desk = Desk(FakeStore(), str(tmp_path), AnyModel(), Lines())
    assert desk.digest_key_file == str(tmp_path / "digest.key")
    assert (tmp_path / "digest.key").stat().st_size == 32
    assert desk._hasher.cost == OWASP
    await desk.stop()


def test_a_hash_below_the_floor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 19456"):
        Desk(FakeStore(), str(tmp_path), AnyModel(), Lines(), cost=Cost(19455, 2, 1))


async def test_it_stops_whether_it_was_started_or_not_and_more_than_once(node: Node) -> None:
    scene = node()
    await scene.stop()
    other = node("other")
    await other.start()
    await other.stop()
    await other.stop()
    assert not other.desk.store._opened  # type: ignore[attr-defined]


async def test_nothing_it_leaves_behind_can_be_read_by_others_or_holds_a_secret(node: Node, tmp_path: Path) -> None:
    scene = node()
    await scene.start()
    issued = await scene.ledger.create_key(NewKey(name="one"), "test")
    await scene.ask(issued.secret)
    await scene.stop()
    for name in os.listdir(tmp_path / "data"):
        path = tmp_path / "data" / name
        assert path.stat().st_mode & 0o077 == 0, name
        content = path.read_bytes()
        assert issued.secret.encode() not in content
        assert b"argon2" not in content
    assert issued.secret not in str(scene.log.lines)


class Counting:
    """An engine that only counts, so that it costs nothing."""

    def __init__(self) -> None:
        self.rows = 0

    def put_keys(self, batch: bytes) -> None:
        self.rows += batch.count(b'"version"')

    def digest(self, credential: str) -> str:
        return "0" * 64

    def keys_current(self, current: bool) -> None: ...

    def used_keys(self) -> bytes:
        return b"{}"


@pytest.mark.slow
async def test_a_hundred_thousand_keys_are_loaded_in_little_time_and_a_change_costs_what_it_costs_with_ten(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.keys.backlog.FINISH_S", 60.0)
    store = FakeStore()
    lists = [("fast", f"model-{n}") for n in range(20)]
    for n in range(MANY):
        key = foreign("sk-0123456789abcdef", id=f"{n:012}", models=lists[n % 20], version=n + 1)
        store._rows[Key, key.id] = key
    store._version = MANY
    store._changes.append(
        Change(id="last", at_us=0, actor="a", action="test", subject="", before=None, after=None, version=MANY)
    )
    first = node(store=store)
    native = Counting()
    began = time.process_time()
    await first.desk.start(native)
    assert native.rows == MANY
    assert await first.desk._table._backlog.finish()
    loading_s = time.process_time() - began
    for n in range(0, MANY, 10):
        first.desk._table.learn(first.desk._table.life, f"{n:012}", 1, "ab" * 32, TINY)
    await first.desk._table._cache.known("")
    began = time.perf_counter()
    await first.ledger.create_key(NewKey(name="one more"), "test")
    changing_s = time.perf_counter() - began
    await first.stop()

    store.away = True
    native = Counting()
    second = Desk(store, os.path.dirname(first.desk.digest_key_file), AnyModel(), Lines(), cost=TINY, floor=TINY)
    began = time.process_time()
    await second.start(native)
    again_s = time.process_time() - began
    assert native.rows == MANY + 1
    await second.stop()
    print(f"\nloading {loading_s:.2f} s, a change {changing_s * 1000:.1f} ms, from data_dir {again_s:.2f} s")
    assert again_s < 2.0
    assert loading_s < 4.0
    assert changing_s < 0.25
