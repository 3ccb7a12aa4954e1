"""The feed where the store is another one, or has lost changes: no row and no digest from before goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from penstock.keys.feed import CHANGES_AT_ONCE
from penstock.keys.model import Key
from penstock.keys.service import Issued, forgetting
from penstock.keys.wishes import NewKey
from tests.unit.fake_store import FakeStore
from tests.unit.keys.scene import Scene, foreign, put

Node = Callable[..., Scene]
ONE, TWO = "sk-one-0123456789abcdef", "sk-two-0123456789abcdef"


async def polled(node: Node, scene: Scene, *, restart: bool) -> Scene:
    """The node once it has asked the store again, by itself or begun anew on its data_dir."""
    if restart:
        await scene.stop()
        scene = node()
        await scene.start()
    await scene.poll()
    return scene


async def test_another_store_replaces_every_row_and_every_digest(node: Node) -> None:
    scene = node()
    await put(scene.store, foreign(ONE))
    await scene.start()
    assert (await scene.ask(ONE)).verdict == "right"
    scene.store.replace_by_another()
    await put(scene.store, foreign(TWO))
    await scene.poll()
    assert scene.check(ONE) == "unknown"
    assert scene.check(TWO) == "unverified"
    assert "another store" in scene.log.texts("error")


async def test_another_store_is_noticed_by_a_restart(node: Node) -> None:
    first = node()
    await put(first.store, foreign(ONE))
    await first.start()
    assert (await first.ask(ONE)).verdict == "right"
    await first.stop()
    other = FakeStore()
    await put(other, foreign(ONE))
    second = node(store=other)
    await second.start()
    assert second.check(ONE) == "unverified"


@pytest.mark.parametrize("made_since", [0, 1, 2, 5])
@pytest.mark.parametrize("restart", [True, False])
async def test_lost_changes_are_noticed_however_many_were_made_since(
    node: Node, made_since: int, restart: bool
) -> None:
    scene = node()
    await put(scene.store, foreign(ONE))
    backup = scene.store.copy()
    await scene.start()
    await put(scene.store, foreign(ONE, state="disabled"))
    await put(scene.store, foreign(TWO))
    await scene.poll()
    assert scene.check(TWO) == "unverified"
    scene.store.restore(backup)
    for n in range(made_since):
        await put(scene.store, foreign(f"sk-{n}-later-0123456789abcdef"))
    scene = await polled(node, scene, restart=restart)
    assert scene.table.keys.keys() == scene.store.rows(Key).keys()
    assert scene.table.keys[foreign(ONE).id].state == "active"
    assert scene.check(TWO) == "unknown"
    assert "lost changes" in scene.log.texts("error")


@pytest.mark.parametrize("made_since", [0, 1, 2])
@pytest.mark.parametrize("restart", [True, False])
async def test_a_change_of_this_node_that_a_failover_lost_is_noticed_although_the_feed_never_came_to_it(
    node: Node, made_since: int, restart: bool
) -> None:
    scene = node()
    scene.store.tells = False
    await put(scene.store, foreign(ONE))
    await scene.start()
    backup = scene.store.copy()
    issued = await scene.ledger.create_key(NewKey(name="lost"), "test")
    assert (await scene.ask(issued.secret)).verdict == "right"
    scene.store.restore(backup)
    for n in range(made_since):
        await put(scene.store, foreign(f"sk-{n}-later-0123456789abcdef"))
    scene = await polled(node, scene, restart=restart)
    assert scene.check(issued.secret) == "unknown"
    assert scene.table.keys.keys() == scene.store.rows(Key).keys()
    assert "lost changes" in scene.log.texts("error")


@pytest.mark.parametrize("restart", [True, False])
async def test_a_change_that_a_failover_lost_is_noticed_when_this_node_makes_others_before_it_polls(
    node: Node, restart: bool
) -> None:
    scene = node()
    scene.store.tells = False
    await put(scene.store, foreign(ONE))
    await scene.start()
    backup = scene.store.copy()
    issued = await scene.ledger.create_key(NewKey(name="lost"), "test")
    scene.store.restore(backup)
    await scene.ledger.create_key(NewKey(name="has the version of the lost one"), "test")
    scene = await polled(node, scene, restart=restart)
    assert scene.check(issued.secret) == "unknown"
    assert scene.table.keys.keys() == scene.store.rows(Key).keys()
    assert "lost changes" in scene.log.texts("error")


@pytest.mark.parametrize("is_rotated", [True, False])
async def test_a_change_that_a_failover_lost_is_noticed_by_whoever_shares_the_data_dir_of_who_made_it(
    node: Node, is_rotated: bool
) -> None:
    async def change(scene: Scene) -> str:
        """The secret of a key that is new, or rotated."""
        rotated = scene.ledger.rotate_key(known.key.id, 0, "test") if is_rotated else None
        issued: Issued = await (rotated or scene.ledger.create_key(NewKey(name="one more"), "test"))
        return issued.secret or ""

    one, other = node(), node()
    one.store.tells = False
    await one.start()
    one.ledger._remembering = one.remembering
    await other.start()
    known = await other.ledger.create_key(NewKey(name="known"), "test")
    await one.poll()
    await other.poll()
    backup = one.store.copy()
    lost = await change(one)
    one.store.restore(backup)
    await change(other)
    await other.poll()
    await one.stop()
    after = node()
    await after.start()
    assert after.table.keys.keys() == other.table.keys.keys() == one.store.rows(Key).keys()
    assert (await after.ask(lost)).verdict == "wrong"
    assert "lost changes" in other.log.texts("error")


async def test_a_key_that_was_verified_before_the_feed_came_to_it_and_then_lost_is_noticed(node: Node) -> None:
    scene = node()
    scene.store.tells = False
    await put(scene.store, foreign(ONE))
    await scene.start()
    backup = scene.store.copy()
    await put(scene.store, foreign(TWO))  # by another node
    assert (await scene.ask(TWO)).verdict == "right"
    scene.store.restore(backup)
    await put(scene.store, foreign("sk-later-0123456789abcdef"))
    await scene.poll()
    assert scene.check(TWO) == "unknown"


async def shared(node: Node) -> tuple[Scene, Scene, str]:
    """Two nodes on one data_dir that remember what they make, and a key that both know of."""
    one, other = node(), node()
    one.store.tells = False
    for scene in (one, other):
        await scene.start()
        scene.ledger._remembering = scene.remembering
    known: Issued = await other.ledger.create_key(NewKey(name="known"), "test")
    await one.poll()
    await other.poll()
    return one, other, known.key.id


@pytest.mark.parametrize("is_kept", [True, False])
async def test_a_lost_change_is_noticed_although_another_of_its_version_was_made_on_the_data_dir(
    node: Node, is_kept: bool
) -> None:
    one, other, known = await shared(node)
    backup = one.store.copy()
    lost: Issued = await one.ledger.rotate_key(known, 0, "test")
    one.store.restore(backup)
    await other.ledger.create_key(NewKey(name="has the version of the lost one"), "test")
    real: Issued = await other.ledger.rotate_key(known, 0, "test")  # its row in data_dir replaces the lost one
    assert lost.secret
    assert real.secret
    if not is_kept:
        one.store._changes.clear()  # two of one version say it all
    await one.poll()
    assert (await one.ask(real.secret)).verdict == "right"
    assert (await one.ask(lost.secret)).verdict == "wrong"
    assert "lost changes" in one.log.texts("error")


async def test_a_lost_change_is_noticed_although_many_were_made_before_the_next_poll(node: Node) -> None:
    scene = node()
    scene.store.tells = False
    await put(scene.store, foreign(ONE))
    await scene.start()
    backup = scene.store.copy()
    issued = await scene.ledger.create_key(NewKey(name="lost"), "test")
    scene.store.restore(backup)
    for n in range(CHANGES_AT_ONCE + 50):
        await put(scene.store, foreign(f"sk-{n:04}-later-0123456789abcdef"))
    await put(scene.store, foreign(TWO))
    assert (await scene.ask(TWO)).verdict == "right"  # its row is noted, far ahead of the lost one
    await scene.poll()
    assert scene.check(issued.secret) == "unknown"
    assert "lost changes" in scene.log.texts("error")


async def test_a_lost_change_is_noticed_although_a_later_one_has_replaced_its_row_in_data_dir(node: Node) -> None:
    one, other, known = await shared(node)
    backup = one.store.copy()
    lost: Issued = await one.ledger.rotate_key(known, 0, "test")
    await one.stop()
    one.store.restore(backup)
    await put(one.store, foreign(ONE))  # by another node
    other.ledger._remembering = forgetting
    await other.ledger.rotate_key(known, 0, "test")
    await other.poll()
    after = node()
    await after.start()
    assert lost.secret
    assert (await after.ask(lost.secret)).verdict == "wrong"
    assert "lost changes" in other.log.texts("error")


async def test_a_lost_change_is_noticed_when_what_was_made_since_has_no_row(node: Node) -> None:
    one, other, _ = await shared(node)
    backup = one.store.copy()
    lost: Issued = await one.ledger.create_key(NewKey(name="lost"), "test")
    await one.stop()
    one.store.restore(backup)
    await other.ledger.record("limits.reset", "node", {}, "test")
    await other.poll()
    assert "lost changes" in other.log.texts("error")
    after = node()
    await after.start()
    assert lost.secret
    assert after.check(lost.secret) == "unknown"
    assert after.table.keys.keys() == one.store.rows(Key).keys()


@pytest.mark.parametrize("is_shared", [True, False])
async def test_rows_are_loaded_anew_once_where_data_dir_cannot_be_written(node: Node, is_shared: bool) -> None:
    one, other, _ = await shared(node)
    polled = other if is_shared else one
    backup = one.store.copy()
    lost: Issued = await one.ledger.create_key(NewKey(name="lost"), "test")
    one.store.restore(backup)
    await put(one.store, foreign(ONE))
    cache = polled.desk._table._cache
    await cache.flush()
    database = cache._database
    assert database is not None
    assert lost.secret
    await asyncio.get_running_loop().run_in_executor(
        cache._thread, lambda: database.execute("PRAGMA query_only = ON").close()
    )
    resets = polled.table.resets
    async with asyncio.timeout(5.0):
        await polled.poll()
        await polled.poll()
    assert polled.table.resets == resets + 1
    assert polled.check(ONE) == "unverified"
    assert polled.check(lost.secret) == "unknown"
    assert "cannot be used" in polled.log.texts("warning")
    await polled.stop()
    after = node()
    await after.start()
    assert after.check(lost.secret) == "unknown"
