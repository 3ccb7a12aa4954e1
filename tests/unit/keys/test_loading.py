"""A load serves before it is on disk, and a restart knows it all the same."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from penstock.keys import backlog
from penstock.keys.wishes import NewKey
from penstock.store.interface import StoreAwayError
from tests.unit.conftest import until
from tests.unit.fake_store import FakeStore
from tests.unit.keys.scene import Scene, foreign, put

Node = Callable[..., Scene]
SECRETS = [f"sk-{n}-0123456789abcdef" for n in range(10)]
IDS = {foreign(secret).id for secret in SECRETS}
NEWCOMER = "sk-new-0123456789abcdef"


async def loaded(node: Node, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A node that has loaded ten keys in pieces, of which most wait for the disk."""
    monkeypatch.setattr("penstock.keys.feed.ROWS_AT_ONCE", 3)
    scene = node()
    for secret in SECRETS:
        await put(scene.store, foreign(secret))
    monkeypatch.setattr(backlog, "REST", 1e9)
    await scene.start()
    return scene


async def restarted(node: Node) -> Scene:
    """The same after a restart, without its store."""
    scene = node()
    scene.store.away = True
    await scene.start()
    return scene


def on_disk(scene: Scene, column: str = "id", table: str = "rows") -> set[str]:
    with sqlite3.connect(scene.desk._table._cache._path) as database:
        found = {id for (id,) in database.execute(f"SELECT {column} FROM {table}")}  # noqa: S608
    database.close()
    return found


async def test_keys_are_known_before_they_are_on_disk(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = await loaded(node, monkeypatch)
    assert all(scene.check(secret) == "unverified" for secret in SECRETS)
    assert scene.check(NEWCOMER) == "unknown"
    assert on_disk(scene) < IDS
    await scene.desk._feed.poll()  # nothing new
    assert on_disk(scene) < IDS


@pytest.mark.parametrize("is_ours", [True, False])
async def test_a_change_takes_to_disk_what_waits(node: Node, monkeypatch: pytest.MonkeyPatch, is_ours: bool) -> None:
    scene = await loaded(node, monkeypatch)
    if is_ours:
        issued = await scene.ledger.create_key(NewKey(name="new"), "test")
        assert on_disk(scene) == {*IDS, issued.key.id}
    else:
        await put(scene.store, foreign(NEWCOMER))
        await scene.poll()
        await until(lambda: on_disk(scene) == {*IDS, foreign(NEWCOMER).id})


async def test_a_change_that_waits_over_a_reset_is_not_written(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = await loaded(node, monkeypatch)
    table = scene.desk._table
    publishing = asyncio.ensure_future(table.publish([replace(foreign(NEWCOMER), version=99)]))
    await asyncio.sleep(0)
    await table.reset("other")
    await publishing
    await table._cache.ahead()
    assert on_disk(scene) == set()


async def test_a_change_that_nobody_waits_for_any_more_is_written(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = await loaded(node, monkeypatch)
    publishing = asyncio.ensure_future(scene.desk._table.publish([replace(foreign(NEWCOMER), version=99)]))
    await asyncio.sleep(0)
    publishing.cancel()
    await scene.stop()
    assert on_disk(scene) == {*IDS, foreign(NEWCOMER).id}


async def test_no_digest_is_on_disk_before_its_row(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = await loaded(node, monkeypatch)
    assert (await scene.ask(SECRETS[9])).verdict == "right"
    await until(lambda: not len(scene.desk._verifier._rehasher))
    await scene.desk._table._cache.flush()
    assert on_disk(scene, "key", "digests") == set()
    await scene.stop()
    assert on_disk(scene, "key", "digests") == {foreign(SECRETS[9]).id}
    assert (await restarted(node)).check(SECRETS[9]) == "right"


async def test_a_stop_writes_what_is_not_on_disk_yet(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await loaded(node, monkeypatch)
    assert on_disk(first) < IDS
    await first.stop()
    second = await restarted(node)
    assert all(second.check(secret) == "unverified" for secret in SECRETS)


async def test_what_changes_meanwhile_is_newer(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await loaded(node, monkeypatch)
    ids = [foreign(secret).id for secret in SECRETS]
    await first.ledger.set_key_state(ids[8], "disabled", "test")  # by this node, past the feed
    await put(first.store, foreign(SECRETS[9], state="deleted", secrets=()))
    await first.poll()
    await first.stop()
    second = await restarted(node)
    assert second.table.keys[ids[8]].state == "disabled"
    assert second.check(SECRETS[9]) == "away"
    second.store.away = False
    await second.poll()
    assert second.table.resets == 0
    assert second.check(SECRETS[9]) == "unknown"


async def test_a_stop_does_not_wait_for_ever(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = await loaded(node, monkeypatch)
    monkeypatch.setattr(backlog, "FINISH_S", 0.0)
    await scene.stop()
    assert "not all keys are in data_dir yet" in scene.log.texts("warning")
    second = node()
    await second.start()
    assert all(second.check(secret) == "unverified" for secret in SECRETS)


async def test_nothing_of_a_store_that_is_another_now_is_written(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await loaded(node, monkeypatch)
    first.store.restore(FakeStore().copy())
    await put(first.store, foreign(NEWCOMER))
    await first.poll()
    assert first.table.resets > 0
    await first.stop()
    assert on_disk(first) == {foreign(NEWCOMER).id}


async def test_a_load_that_the_store_breaks_off_goes_on_later(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.keys.feed.ROWS_AT_ONCE", 3)
    scene = node()
    for secret in SECRETS:
        await put(scene.store, foreign(secret))
    handle = scene.desk.store
    asked, changed_since = [0], handle.changed_since

    async def breaks_off(version: int, limit: int) -> object:
        asked[0] += 1
        if asked[0] == 3:
            raise StoreAwayError("gone")
        return await changed_since(version, limit)

    monkeypatch.setattr(handle, "changed_since", breaks_off)
    await scene.start()
    assert scene.check(SECRETS[0]) == "unverified"
    assert scene.check(SECRETS[9]) == "away"
    await scene.poll()
    assert scene.check(SECRETS[9]) == "unverified"
    await until(lambda: on_disk(scene) == IDS)
