"""What is read: changes, listings, and what opening, watching and purging do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.keys.model import AdminToken, Key, Row, Team
from penstock.store.interface import Filter, StoreAwayError
from penstock.times import DAY_US

from .rows import TOKEN, Make, change, drop, everything, key, newest, put, rule


@rule
async def changes_come_in_the_order_of_their_versions_whatever_the_bound(make: Make) -> None:
    store = await make()
    rows: list[Row] = []
    for n in range(4):
        rows.append(await put(store, Team(id=f"t{n}", name=f"team {n}")))
        rows.append(await put(store, key(f"k{n}", team=f"t{n}")))
        rows.append(await put(store, replace(TOKEN, id=f"a{n}")))
    changed = await put(store, replace(rows[1], name="renamed"), rows[1].version)
    rows = [*rows[:1], *rows[2:], changed]
    for limit in (1, 2, 5, 11, 12, 13, 100):
        assert await everything(store, limit) == rows
    for since in range(15):
        assert list((await store.changed_since(since, 100)).rows) == [row for row in rows if row.version > since]
    first = await store.changed_since(0, 3)
    assert (first.version, first.more) == (rows[2].version, True)
    last = await store.changed_since(12, 1)
    assert (last.version, last.rows, last.more) == (13, (changed,), False)
    ahead = await store.changed_since(99, 10)
    assert (ahead.version, ahead.rows, ahead.more) == (13, (), False)


@rule
async def the_newest_change_comes_with_the_answer_that_reaches_it(make: Make) -> None:
    store = await make()
    assert (await store.changed_since(0, 1)).change is None
    for n in range(3):
        team = Team(id=f"t{n}", name=f"team {n}")
        await store.save(team, None, change(team, id=f"made-{n}"))
    asked = {(0, 2): None, (0, 3): "made-2", (1, 1): None, (2, 1): "made-2", (3, 1): "made-2", (9, 1): "made-2"}
    found = {(since, limit): (await store.changed_since(since, limit)).change for since, limit in asked}
    assert found == asked


@rule
async def a_version_that_is_ahead_of_the_store_gets_its_own(make: Make) -> None:
    store = await make()
    await put(store, key())
    for since in (1, 2, 2**62, 2**70):
        delta = await store.changed_since(since, 10)
        assert (delta.version, delta.rows, delta.more) == (1, (), False)


@rule
async def many_rows_come_at_once_by_their_ids(make: Make) -> None:
    store = await make()
    teams = [await put(store, Team(id=f"t{n}", name=f"team {n}", tags={"n": str(n)})) for n in range(5)]
    await drop(store, teams[4])
    keys = [await put(store, key(f"k{n}", team="t0")) for n in range(3)]
    assert await store.get_many(Team, ["t3", "t0", "t3", "t4", "k1", "none", "", "T1"]) == {
        "t0": teams[0],
        "t3": teams[3],
    }
    assert await store.get_many(Key, {row.id for row in keys}) == {row.id: row for row in keys}
    assert await store.get_many(AdminToken, ("t0", "k0")) == {}
    assert await store.get_many(Key, ()) == {}
    assert await store.get_many(Key, [f"unknown {n}" for n in range(2_500)] + ["k2"]) == {"k2": keys[2]}


@rule
async def a_listing_comes_in_pieces_in_the_order_of_ids(make: Make) -> None:
    store = await make()
    ids = ["B", "a", "Z9", "b", "_", "0", "aa", "é", "a b"]
    for id in ids:
        await put(store, key(id))
    await drop(store, await put(store, key("aab")))
    ordered = sorted(ids)
    for limit in (1, 2, 4, len(ids), 100):
        found: list[str] = []
        after, pieces = None, 0
        while pieces == 0 or after is not None:
            page = await store.list(Key, Filter(), after, limit)
            assert len(page.rows) <= limit
            assert page.next is None or page.next == page.rows[-1].id
            found += [row.id for row in page.rows]
            after, pieces = page.next, pieces + 1
        assert found == ordered
        assert pieces == max(1, -(-len(ids) // limit))
    assert [row.id for row in (await store.list(Key, Filter(), "a", 2)).rows] == ["a b", "aa"]
    assert (await store.list(Key, Filter(), "zzz", 2)).next is None


@rule
async def a_listing_is_narrowed_by_each_filter_and_by_all_together(make: Make) -> None:
    store = await make()
    for n in (1, 2):
        await put(store, Team(id=f"t{n}", name=f"Team {n}", tags={"n": str(n)}))
    rows = [
        key("k1", name="Alpha Straße", team="t1", owner="ann", tags={"env": "prod", "x": "1"}),
        key("k2", name="alphabet", team="t1", owner="bob", state="disabled", tags={"env": "prod"}),
        key("k3", name="ÉCOLE", team="t2", tags={"env": "test", "prod": "env"}),
        key("k4", name="50% off_peak", owner="ann"),
    ]
    for row in rows:
        await put(store, row)

    async def found(**fields: Any) -> str:
        page = await store.list(Key, Filter(**fields), None, 10)
        return "".join(row.id[1:] for row in page.rows)

    assert await found(team="t1") == "12"
    assert await found(team="none") == ""
    assert await found(state="disabled") == "2"
    assert await found(state="active") == "134"
    assert await found(owner="ann") == "14"
    assert await found(owner="ANN") == ""
    assert await found(name="ALPHA") == "12"
    assert await found(name="école") == "3"
    assert await found(name="STRASSE") == "1"
    assert await found(name="%") == "4"
    assert await found(name="_") == "4"
    assert await found(tag=("env", "prod")) == "12"
    assert await found(tag=("prod", "env")) == "3"
    assert await found(tag=("env", "")) == ""
    assert await found(team="t1", owner="ann", name="a", tag=("x", "1"), state="active") == "1"
    assert await found(team="t2", owner="ann") == ""
    page = await store.list(Key, Filter(team="t1"), None, 1)
    assert ([row.id for row in page.rows], page.next) == (["k1"], "k1")
    assert [row.id for row in (await store.list(Key, Filter(team="t1"), page.next, 1)).rows] == ["k2"]
    assert [row.id for row in (await store.list(Team, Filter(name="team", tag=("n", "2")), None, 9)).rows] == ["t2"]
    assert (await store.list(Team, Filter(owner="ann"), None, 9)).rows == ()
    await put(store, TOKEN)
    assert [row.id for row in (await store.list(AdminToken, Filter(name="OP"), None, 9)).rows] == ["afull"]
    assert (await store.list(AdminToken, Filter(tag=("a", "b")), None, 9)).rows == ()


@rule
async def changes_are_kept_with_who_what_before_and_after(make: Make) -> None:
    store = await make()
    row = key()
    made = change(
        row, id="c1", at_us=7, actor="ann", action="key.create", before=None, after={"name": "a", "n": [1, None]}
    )
    await store.save(row, None, made)
    renamed = change(row, id="c2", at_us=8, actor="bob", action="key.update", before={"name": "a"}, after={"x": {}})
    await store.save(replace(row, name="b"), 1, renamed)
    await put(store, key("k2"))
    await drop(store, await put(store, key("k3")))
    of_k1 = [replace(renamed, version=2), replace(made, version=1)]
    assert list(await store.changes("k1", None, 10)) == of_k1
    assert list(await store.changes("k1", None, 1)) == of_k1[:1]
    assert list(await store.changes("k1", 2, 10)) == of_k1[1:]
    assert [each.version for each in await store.changes(None, None, 10)] == [5, 4, 3, 2, 1]
    assert [each.version for each in await store.changes(None, 4, 2)] == [3, 2]
    assert [each.subject for each in await store.changes(None, 2**70, 2)] == ["k3", "k3"]
    assert list(await store.changes("unknown", None, 10)) == []
    assert list(await store.changes(None, 1, 10)) == []


@rule
async def tombstones_are_purged_by_age(make: Make) -> None:
    store = await make()
    rows: Sequence[Row] = [key("k1"), key("k2"), Team(id="t1", name="a"), TOKEN, key("kept")]
    rows = [await put(store, row) for row in rows]
    now_us = await store.now_us()
    for row, days in zip(rows[:4], (1, 3, 2, 2), strict=True):
        await drop(store, row, now_us + days * DAY_US)
    version = await newest(store)
    assert await store.purge(now_us + DAY_US) == 0
    assert await store.purge(now_us + 2 * DAY_US + 1) == 3
    assert [row.id for row in await everything(store)] == ["kept", "k2"]
    assert await store.purge(2**62) == 1
    assert await store.purge(2**62) == 0
    assert [row.id for row in await everything(store)] == ["kept"]
    assert await newest(store) == version
    await put(store, key("k1"))
    assert await newest(store) == version + 1


@rule
async def a_tombstone_is_as_young_as_the_stores_clock_has_it_whatever_whoever_deleted_believes(make: Make) -> None:
    store = await make()
    row = await put(store, key())
    before_us = await store.now_us()
    await drop(store, row, before_us - 400 * DAY_US)
    assert await store.purge(before_us) == 0
    assert await store.purge(await store.now_us() + 1) == 1


@rule
async def the_stores_clock_goes_on(make: Make) -> None:
    store = await make()
    before_us = await store.now_us()
    assert before_us > 1_700_000_000_000_000
    assert before_us <= await store.now_us() <= before_us + DAY_US


@rule
async def a_watch_may_be_stopped_at_any_time_and_more_than_once(make: Make) -> None:
    store = await make()
    watch = await store.watch(lambda: None)
    other = await store.watch(lambda: None)
    await watch.stop()
    await watch.stop()
    await put(store, key())
    await other.stop()
    assert await newest(store) == 1


@rule
async def a_closed_store_says_so_and_may_be_opened_again(make: Make) -> None:
    store = await make()
    row = await put(store, key())
    await store.close()
    await store.close()
    with pytest.raises(StoreAwayError, match="closed"):
        await newest(store)
    with pytest.raises(StoreAwayError, match="closed") as caught:
        await put(store, key("k2"))
    assert not caught.value.in_doubt
    assert await store.open(migrate=True) == []
    assert await store.get(Key, row.id) == row


@rule
async def opening_an_open_store_changes_nothing(make: Make) -> None:
    store = await make()
    for state in ("active", "disabled"):
        await put(store, key(state, state=state))
    assert await store.open(migrate=True) == []
    assert await store.open(migrate=False) == []
    assert [row.state for row in (await store.list(Key, Filter(), None, 9)).rows] == ["active", "disabled"]
