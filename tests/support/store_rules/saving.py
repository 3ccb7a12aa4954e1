"""What saving checks, writes and leaves behind."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from penstock.keys.model import AdminToken, Key, Secret, Team
from penstock.limits.policy import Limits
from penstock.store.interface import Filter

from .rows import FULL_TEAM, LIMITS, TOKEN, Make, change, drop, everything, full_key, key, newest, put, refusal, rule


@rule
async def a_new_store_is_empty_and_has_an_id(make: Make) -> None:
    store = await make()
    assert await newest(store) == 0
    assert store.id
    assert (await make()).id == store.id
    delta = await store.changed_since(0, 10)
    assert (delta.version, delta.rows, delta.more) == (0, (), False)
    pages = [
        await store.list(Key, Filter(), None, 10),
        await store.list(Team, Filter(), None, 10),
        await store.list(AdminToken, Filter(), None, 10),
    ]
    assert all((page.rows, page.next) == ((), None) for page in pages)
    assert list(await store.changes(None, None, 10)) == []


@rule
async def what_is_saved_is_read_back_field_for_field(make: Make) -> None:
    store, other = await make(), await make()
    team = await put(store, FULL_TEAM)
    full = await put(store, full_key(team=team.id))
    bare = await put(store, Key(id="kbare", name=""))
    nothing = await put(store, key("knothing", models=(), paths=(), networks=(), secrets=()))
    token = await put(store, TOKEN)
    for each in (store, other):
        assert await each.get(Team, team.id) == team
        assert [await each.get(Key, row.id) for row in (full, bare, nothing)] == [full, bare, nothing]
        assert await each.get(AdminToken, token.id) == token
        assert await everything(each) == [team, full, bare, nothing, token]
        assert (await each.list(Key, Filter(), None, 10)).rows == (bare, full, nothing)


@rule
async def limits_change_and_go_with_the_row(make: Make) -> None:
    store = await make()
    row = await put(store, key(limits=LIMITS))
    fewer = await put(store, replace(row, limits=Limits(requests="1/s")), row.version)
    assert await store.get(Key, row.id) == fewer
    none = await put(store, replace(fewer, limits=None), fewer.version)
    assert await store.get(Key, row.id) == none
    await drop(store, await put(store, replace(none, limits=LIMITS), none.version))
    assert await everything(store) == [Key(id=row.id, name="", state="deleted", version=5)]
    assert (await put(store, key())).limits is None
    assert (await everything(store))[0] == key(version=6)


@rule
async def what_cannot_be_read_of_limits_stays_and_keeps_no_other_row_out(make: Make) -> None:
    store = await make()
    later = await put(store, key("k1", limits=Limits(requests="1/s"), limits_rest='{"burst":3}'))
    broken = await put(store, key("k2", limits_rest='{"reserve":"p95"}'))
    team = await put(store, Team(id="t", name="t", limits_rest="[]"))
    assert await everything(store) == [later, broken, team]
    changed = await put(store, replace(later, limits=None, name="other"), later.version)
    assert await store.get(Key, "k1") == changed
    assert changed.limits_rest == '{"burst":3}'


@rule
async def a_change_that_no_row_tells_of_takes_a_version_once(make: Make) -> None:
    store = await make()
    row = await put(store, key())
    made = replace(change(row, id="c9", action="limits.reset", after={"scope": "key"}), subject="global")
    assert await store.record(made) == 2
    assert await store.record(made) == 2
    assert list(await store.changes("global", None, 9)) == [replace(made, version=2)]
    assert await newest(store) == 2
    delta = await store.changed_since(1, 9)
    assert (delta.version, delta.rows, delta.more) == (2, (), False)
    assert (await put(store, key("k2"))).version == 3


@rule
async def an_id_is_of_one_kind(make: Make) -> None:
    store = await make()
    await put(store, key("same"))
    assert await store.get(Team, "same") is None
    assert await store.get(AdminToken, "same") is None
    assert await store.get(Key, "Same") is None
    assert await store.get(Key, "") is None


@rule
async def every_change_takes_the_next_version(make: Make) -> None:
    store = await make()
    first = await put(store, Team(id="t1", name="a"))
    second = await put(store, key())
    third = await put(store, replace(second, name="b"), second.version)
    fourth = await drop(store, third)
    fifth = await put(store, TOKEN)
    assert [first.version, second.version, third.version, fourth, fifth.version] == [1, 2, 3, 4, 5]
    assert await newest(store) == 5


@rule
async def a_refused_change_takes_no_version_and_leaves_no_trace(make: Make) -> None:
    store = await make()
    await put(store, key())
    assert await refusal(store.save(key(name="other"), None, change(key()))) == "exists"
    assert await newest(store) == 1
    assert len(await store.changes(None, None, 10)) == 1
    found = await store.get(Key, "k1")
    assert found is not None
    assert found.name == "name of k1"


@rule
async def a_row_that_is_there_is_not_made_again(make: Make) -> None:
    store = await make()
    for row in (key(), Team(id="t1", name="a"), TOKEN):
        await put(store, row)
        assert await refusal(store.save(row, None, change(row))) == "exists"


@rule
async def a_row_that_the_caller_has_not_seen_is_not_overwritten(make: Make) -> None:
    store = await make()
    first = await put(store, key())
    second = await put(store, replace(first, name="b"), first.version)
    assert await refusal(store.save(replace(first, name="c"), first.version, change(first))) == "changed"
    assert await refusal(store.save(key("unknown"), 1, change(key("unknown")))) == "changed"
    gone = await drop(store, second)
    for expected in (second.version, gone):
        assert await refusal(store.save(second, expected, change(second))) == "changed"
        assert await refusal(store.save(replace(second, state="deleted"), expected, change(second))) == "changed"
    assert await refusal(store.save(key("never", state="deleted"), None, change(key("never")))) == "changed"
    assert await everything(store) == [Key(id="k1", name="", state="deleted", version=gone)]


@rule
async def a_change_that_is_asked_for_twice_is_made_once(make: Make) -> None:
    store, other = await make(), await make()
    row = key()
    create = change(row)
    assert await store.save(row, None, create) == 1
    assert await store.save(row, None, create) == 1
    rename = change(row)
    assert await store.save(replace(row, name="b"), 1, rename) == 2
    again = await asyncio.gather(
        *(each.save(replace(row, name="b"), 1, rename) for each in (store, other)), store.save(row, None, create)
    )
    assert again == [2, 2, 1]
    delete = change(row)
    gone = replace(row, state="deleted")
    assert [await store.save(gone, 2, delete) for _ in range(2)] == [3, 3]
    assert await newest(store) == 3
    assert [each.version for each in await store.changes(None, None, 10)] == [3, 2, 1]


@rule
async def a_team_name_is_given_once(make: Make) -> None:
    store = await make()
    one = await put(store, Team(id="t1", name="Crew"))
    two = await put(store, Team(id="t2", name="crew"))
    assert await refusal(store.save(Team(id="t3", name="Crew"), None, change(one))) == "name_taken"
    renamed = replace(two, name="Crew")
    assert await refusal(store.save(renamed, two.version, change(renamed))) == "name_taken"
    assert await store.find_team("Crew") == one
    assert await store.find_team("crew") == two
    assert await store.find_team("CREW") is None
    one = await put(store, replace(one, tags={"kept": "name"}), one.version)
    await drop(store, one)
    assert await store.find_team("Crew") is None
    two = await put(store, renamed, two.version)
    assert await store.find_team("Crew") == two


@rule
async def keys_may_share_a_name(make: Make) -> None:
    store = await make()
    rows = [await put(store, key(id, name="same")) for id in ("k1", "k2")]
    assert list((await store.list(Key, Filter(name="same"), None, 10)).rows) == rows


@rule
async def a_key_belongs_to_a_team_that_is_there(make: Make) -> None:
    store = await make()
    assert await refusal(store.save(key(team="t1"), None, change(key()))) == "team_missing"
    team = await put(store, Team(id="t1", name="a"))
    free = await put(store, key("kfree"))
    await drop(store, team)
    assert await refusal(store.save(key(team="t1"), None, change(key()))) == "team_missing"
    joined = replace(free, team="t1")
    assert await refusal(store.save(joined, free.version, change(joined))) == "team_missing"
    paused = await put(store, Team(id="t2", name="b", state="disabled"))
    assert (await put(store, key(team=paused.id))).team == "t2"


@rule
async def a_team_with_keys_stays(make: Make) -> None:
    store = await make()
    team = await put(store, Team(id="t1", name="a"))
    active = await put(store, key("k1", team="t1"))
    disabled = await put(store, key("k2", team="t1", state="disabled"))
    gone = replace(team, state="deleted")
    assert await refusal(store.save(gone, team.version, change(gone))) == "team_has_keys"
    await drop(store, active)
    assert await refusal(store.save(gone, team.version, change(gone))) == "team_has_keys"
    await put(store, replace(disabled, team=None), disabled.version)
    await drop(store, team)
    assert await store.get(Team, "t1") is None


@rule
async def what_is_deleted_leaves_a_tombstone_and_nothing_else(make: Make) -> None:
    store = await make()
    team = await put(store, FULL_TEAM)
    full, token = await put(store, full_key(team=team.id)), await put(store, TOKEN)
    versions = [await drop(store, row) for row in (full, team, token)]
    assert await everything(store) == [
        Key(id=full.id, name="", state="deleted", version=versions[0]),
        Team(id=team.id, name="", state="deleted", version=versions[1]),
        AdminToken(id=token.id, name="", role="viewer", digest="", state="deleted", version=versions[2]),
    ]
    assert await store.get(Key, full.id) is None
    assert await store.get(Team, team.id) is None
    assert await store.get(AdminToken, token.id) is None
    for narrowed in (Filter(), Filter(state="deleted")):
        assert (await store.list(Key, narrowed, None, 10)).rows == ()
        assert (await store.list(Team, narrowed, None, 10)).rows == ()
        assert (await store.list(AdminToken, narrowed, None, 10)).rows == ()


@rule
async def an_id_whose_row_was_deleted_can_be_made_anew(make: Make) -> None:
    """The id of a foreign key comes from its secret: deleted and imported again it is the same one."""
    store = await make()
    old = await put(store, full_key())
    await drop(store, old)
    new = await put(store, key(old.id, secrets=(Secret(generation=1, hash="another"),)))
    assert await store.get(Key, old.id) == new
    assert new.last_used_us is None
    assert await everything(store) == [new]
