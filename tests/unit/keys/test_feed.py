"""The feed: native knows what the store holds, soon after, and goes on without it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from penstock.keys.feed import STALE_US, TOMBSTONES_US, Feed
from penstock.keys.model import AdminToken
from penstock.keys.wishes import NewKey
from penstock.store.interface import StoreAwayError, StoreRefusedError
from penstock.times import DAY_US
from tests.unit.conftest import until
from tests.unit.keys.scene import FAST, NOW_US, Scene, foreign, put, team

Node = Callable[..., Scene]
ONE, TWO = "sk-one-0123456789abcdef", "sk-two-0123456789abcdef"


async def test_a_start_loads_every_row_and_then_says_that_ids_it_does_not_have_do_not_exist(node: Node) -> None:
    scene = node()
    await put(scene.store, team())
    await put(scene.store, foreign(ONE, team="team0", models=("fast",)))
    assert scene.check(ONE) == "away"
    await scene.start()
    assert scene.check(ONE) == "unverified"
    assert scene.check(TWO) == "unknown"
    assert scene.table.access[foreign(ONE).id].models == ("fast",)
    assert scene.table.teams["team0"].name == "team0"
    assert scene.reasons == []


async def test_tags_come_with_the_rows_of_keys_and_teams(node: Node) -> None:
    scene = node()
    await put(scene.store, team(tags={"unit": "7"}))
    await put(scene.store, foreign(ONE, team="team0", tags={"env": "dev", "app": "a"}))
    await put(scene.store, foreign(TWO))
    await scene.start()
    one, two = foreign(ONE).id, foreign(TWO).id
    assert (scene.table.tags[one], scene.table.tags[two]) == ((("app", "a"), ("env", "dev")), ())
    assert scene.table.tags["team0"] == (("unit", "7"),)


async def test_changes_of_other_nodes_are_heard_without_being_told(node: Node) -> None:
    first, second = node("a", pace=FAST), node("b", pace=FAST)
    first.store.tells = False
    await first.start()
    await second.start()
    issued = await first.ledger.create_key(NewKey(name="one"), "test")
    await until(lambda: second.check(issued.secret) == "unverified")
    await first.ledger.set_key_state(issued.key.id, "disabled", "test")
    await until(lambda: second.table.keys[issued.key.id].state == "disabled")
    await first.ledger.delete_key(issued.key.id, "test")
    await until(lambda: second.check(issued.secret) == "unknown")


async def test_while_nothing_changes_a_poll_asks_for_one_thing(node: Node) -> None:
    scene = node()
    await put(scene.store, foreign(ONE))
    await scene.start()
    scene.store.calls.clear()
    for _ in range(3):
        await scene.poll()
    assert scene.store.calls == ["changed_since"] * 3


async def test_being_woken_hastens_a_slow_poll(node: Node) -> None:
    first, second = node("a"), node("b")
    await first.start()
    await second.start()
    issued = await first.ledger.create_key(NewKey(name="one"), "test")
    await until(lambda: second.check(issued.secret) == "unverified")


async def test_while_the_stores_word_is_heard_it_is_asked_more_seldom(node: Node) -> None:
    scene = node(pace=FAST._replace(quiet=3_600.0))
    await scene.start()
    scene.store.calls.clear()
    await asyncio.sleep(20 * FAST.poll)
    assert scene.store.calls == []
    (watch,) = scene.store.watches
    watch.hears = False
    watch.woken()  # as one does that has lost its way
    await until(lambda: len(scene.store.calls) > 3)


async def test_more_rows_than_one_batch_holds_come_in_several(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.keys.feed.ROWS_AT_ONCE", 3)
    scene = node()
    for n in range(10):
        await put(scene.store, foreign(f"sk-{n}-0123456789abcdef"))
    await scene.start()
    assert len(scene.table.keys) == 10
    assert scene.table.largest == 3
    assert scene.table.settled == 10


async def test_tombstones_are_let_go_once_nothing_older_can_come(node: Node) -> None:
    scene = node()
    await scene.start()
    await put(scene.store, foreign(ONE))
    await scene.poll()
    await put(scene.store, foreign(ONE, state="deleted", secrets=()))
    await scene.poll()
    assert scene.table.keys == {}
    assert scene.check(ONE) == "unknown"


async def test_a_change_published_late_does_not_bring_a_deleted_key_back(node: Node) -> None:
    scene = node()
    await scene.start()
    version = await put(scene.store, foreign(ONE))
    await put(scene.store, foreign(ONE, state="deleted", secrets=()))
    await scene.poll()
    await scene.desk._table.publish([replace(foreign(ONE), version=version)])
    assert scene.check(ONE) == "unknown"


async def test_a_restart_verifies_nothing_again_and_needs_no_store(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    first = node()
    await first.start()
    await put(first.store, team())
    await put(first.store, foreign(ONE, team="team0"))
    await first.poll()
    assert (await first.ask(ONE)).verdict == "right"
    await until(lambda: not len(first.desk._verifier._rehasher))  # a weak hash would be asked for once more
    await first.stop()
    second = node()
    second.store.away = True
    await second.start()
    assert second.check(ONE) == "right"
    assert second.check(TWO) == "away"
    assert second.reasons == [["store"]]
    assert "started with the keys that data_dir has" in second.log.texts("warning")
    second.store.away = False
    await second.poll()
    assert second.check(TWO) == "unknown"
    assert second.reasons == [["store"], []]
    assert second.table.resets == 0


async def test_changes_that_a_node_missed_while_it_was_down_are_made_up_for(node: Node) -> None:
    first = node()
    await first.start()
    await put(first.store, foreign(ONE))
    await put(first.store, foreign(TWO))
    await first.poll()
    await first.stop()
    await put(first.store, foreign(ONE, state="deleted", secrets=()))
    await put(first.store, foreign(TWO, state="disabled"))
    second = node()
    await second.start()
    assert second.check(ONE) == "unknown"
    assert second.table.keys[foreign(TWO).id].state == "disabled"


async def test_a_first_start_with_the_store_away_waits_for_it_and_says_so(node: Node) -> None:
    scene = node(pace=FAST)
    scene.store.away = True
    await scene.start()
    assert scene.check(ONE) == "away"
    assert "no key is known yet: requests are answered 503" in scene.log.texts("warning")
    await put_when_back(scene)
    await until(lambda: "the store is back" in scene.log.texts("info"))
    assert scene.check(ONE) == "unverified"
    assert scene.reasons == [["store"], []]


async def put_when_back(scene: Scene) -> None:
    scene.store.away = False
    await put(scene.store, foreign(ONE))


async def test_an_outage_keeps_known_keys_and_is_told_once(node: Node) -> None:
    scene = node(pace=FAST)
    await put(scene.store, foreign(ONE))
    await scene.start()
    assert (await scene.ask(ONE)).verdict == "right"
    scene.store.away = True
    calls = len(scene.store.calls)
    await until(lambda: len(scene.store.calls) > calls + 5)
    assert scene.check(ONE) == "right"
    assert scene.check(TWO) == "away"
    scene.store.away = False
    await until(lambda: scene.reasons == [["store"], []])
    assert scene.check(TWO) == "unknown"
    assert scene.log.texts("warning").count("the store is away") == 1


async def test_while_the_store_is_away_it_is_asked_ever_more_seldom(node: Node) -> None:
    feed: Feed = node().desk._feed
    feed._pace = feed._pace._replace(poll=0.5, longest=5.0)
    pauses = []
    for _ in range(6):
        feed._went_away(StoreAwayError("away"))
        pauses.append(feed._pause_s())
    assert pauses == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


async def test_a_store_that_cannot_be_used_ends_a_start_without_rows(node: Node) -> None:
    scene = node()
    scene.store.refuses = "the schema is older; run `penstock migrate`"
    with pytest.raises(StoreRefusedError, match="penstock migrate"):
        await scene.start()


async def test_with_rows_a_store_that_cannot_be_used_is_an_error_line(node: Node) -> None:
    first = node()
    await put(first.store, foreign(ONE))
    await first.start()
    await first.stop()
    second = node()
    second.store.refuses = "the password is wrong"
    await second.start()
    assert second.check(ONE) == "unverified"
    assert "the store is away" in second.log.texts("error")


async def test_rows_that_have_not_been_compared_for_weeks_are_loaded_anew(node: Node) -> None:
    first = node()
    await put(first.store, foreign(ONE))
    await first.start()
    await first.stop()
    await put(first.store, foreign(ONE, state="deleted", secrets=()))
    await first.store.purge(2**62)  # what says that it was deleted is gone
    second = node()
    feed = second.desk._feed
    usual = feed._now_us
    feed._now_us = lambda: usual() + STALE_US + 1
    await second.start()
    assert second.check(ONE) == "unknown"
    assert "too old" in second.log.texts("warning")


async def test_old_tombstones_are_purged_and_younger_ones_are_not(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = node()
    asked: list[int] = []

    async def purge(before_us: int) -> int:
        asked.append(before_us)
        return 0

    monkeypatch.setattr(scene.desk.store, "purge", purge)
    scene.desk._feed._now_us = lambda: 10 * TOMBSTONES_US
    await scene.start()
    await scene.poll()
    scene.store.clock_us = lambda: 5 * TOMBSTONES_US
    await scene.desk._feed._do_chores()
    assert asked == [9 * TOMBSTONES_US, 4 * TOMBSTONES_US]


async def test_a_clock_that_is_a_year_ahead_purges_no_tombstone_that_a_node_may_still_need(node: Node) -> None:
    away = node("a")
    await put(away.store, foreign(ONE))
    await away.start()
    await away.stop()
    await put(away.store, foreign(ONE, state="deleted", secrets=()))
    ahead = node("b")
    ahead.store.clock_us = lambda: NOW_US
    ahead.desk._feed._now_us = lambda: NOW_US + 365 * DAY_US
    await ahead.start()
    again = node("a")
    await again.start()
    assert again.check(ONE) == "unknown"


async def test_a_row_that_native_refuses_does_not_keep_the_others_out(node: Node) -> None:
    scene = node()
    texts = [f"sk-{n}-0123456789abcdef" for n in range(7)]
    for text in texts:
        await put(scene.store, foreign(text))
    scene.table.refuses = {foreign(texts[3]).id}
    await scene.start()
    assert scene.table.keys.keys() == {foreign(text).id for text in texts if text != texts[3]}
    assert "left out" in scene.log.texts("error")


async def test_admin_tokens_are_known_while_the_store_is_away_and_go_when_deleted(node: Node) -> None:
    first = node()
    await first.start()
    token = AdminToken(id="token0000001", name="ops", role="viewer", digest="cd" * 32)
    await put(first.store, token)
    await first.poll()
    assert [each.name for each in first.desk.tokens.values()] == ["ops"]
    await first.stop()
    second = node()
    second.store.away = True
    await second.start()
    assert second.desk.tokens["cd" * 32].role == "viewer"
    second.store.away = False
    await put(second.store, replace(token, state="deleted"))
    await second.poll()
    assert second.desk.tokens == {}


async def test_whether_there_is_any_key_is_known(node: Node) -> None:
    scene = node()
    await scene.start()
    assert scene.desk.is_empty
    await scene.ledger.create_key(NewKey(name="one"), "test")
    assert not scene.desk.is_empty


async def test_a_fault_of_ours_is_told_and_does_not_end_the_polling(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = node(pace=FAST)
    await scene.start()
    with monkeypatch.context() as patch:
        patch.setattr(scene.desk._table, "advance", lambda *_, **__: 1 / 0)
        await put(scene.store, foreign(ONE))
        await until(lambda: "ZeroDivisionError" in scene.log.texts("error"))
    await until(lambda: scene.check(ONE) == "unverified")


async def test_a_damaged_cache_is_made_up_for_by_the_store(node: Node, tmp_path: object) -> None:
    import sqlite3

    first = node()
    await put(first.store, foreign(ONE))
    await first.start()
    await first.stop()
    path = first.desk._table._cache._path
    with sqlite3.connect(path) as database:
        database.execute("UPDATE rows SET body = '{'")
    database.close()
    second = node()
    await second.start()
    assert second.check(ONE) == "unverified"
    assert second.check(TWO) == "unknown"
