"""Several handles on one store at once."""

from __future__ import annotations

import asyncio
import itertools

from msgspec.structs import replace

from penstock.keys.model import Key, Team
from penstock.store.interface import ConflictError, Filter

from .rows import HASH, Make, change, drop, key, newest, put, rule


@rule
async def a_change_asked_for_twice_at_once_is_made_once(make: Make) -> None:
    stores = [await make() for _ in range(3)]
    row = key()
    create = change(row)
    assert await asyncio.gather(*(store.save(row, None, create) for store in stores * 2)) == [1] * 6
    assert await newest(stores[0]) == 1


@rule
async def a_team_name_that_is_asked_for_by_many_at_once_is_given_once(make: Make) -> None:
    stores = [await make() for _ in range(4)]
    teams = [Team(id=f"t{n}", name="Crew") for n in range(8)]
    calls = [stores[n % 4].save(team, None, change(team)) for n, team in enumerate(teams)]
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert [end for end in ends if isinstance(end, int)] == [1]
    assert all(isinstance(end, int) or (isinstance(end, ConflictError) and end.reason == "name_taken") for end in ends)


@rule
async def of_joining_a_team_and_deleting_it_one_happens(make: Make) -> None:
    store, other = await make(), await make()
    for n in range(5):
        team = await put(store, Team(id=f"t{n}", name=f"team {n}"))
        joining, deleting = await asyncio.gather(
            put(store, key(f"k{n}", team=team.id)), drop(other, team), return_exceptions=True
        )
        reasons = [end.reason for end in (joining, deleting) if isinstance(end, ConflictError)]
        assert reasons in (["team_missing"], ["team_has_keys"])


@rule
async def of_two_that_exchange_a_hash_at_once_one_does(make: Make) -> None:
    stores = [await make() for _ in range(2)]
    row = await put(stores[0], key())
    ends = await asyncio.gather(*(store.replace_hash(row.id, 1, HASH, f"new {n}") for n, store in enumerate(stores)))
    assert sorted(ends) == [False, True]
    found = await stores[0].get(Key, row.id)
    assert found is not None
    assert found.secrets[0].hash == f"new {ends.index(True)}"


@rule
async def many_touch_the_same_keys_at_once(make: Make) -> None:
    stores = [await make() for _ in range(4)]
    ids = [f"k{n}" for n in range(30)]
    for id in ids:
        await put(stores[0], key(id, secrets=()))
    rounds = [dict.fromkeys(ids if n % 2 else reversed(ids), n) for n in range(1, 13)]
    await asyncio.gather(*(stores[n % 4].touch(used) for n, used in enumerate(rounds)))
    page = await stores[1].list(Key, Filter(), None, 100)
    assert [row.last_used_us for row in page.rows if isinstance(row, Key)] == [12] * 30


@rule
async def twenty_savers_lose_no_version_and_none_is_seen_out_of_order(make: Make) -> None:
    savers, each = 20, 5
    stores = [await make() for _ in range(4)]
    watching, done = await make(), asyncio.Event()

    async def save(n: int) -> list[int]:
        store = stores[n % len(stores)]
        row = await put(store, key(f"k{n}"))
        versions = [row.version]
        for turn in range(1, each):
            row = await put(store, replace(row, name=f"turn {turn}"), row.version)
            versions.append(row.version)
        return versions

    async def follow() -> list[int]:
        """Every version up to a delta's was made before, and a later delta brings none of them."""
        seen, heard = 0, list[int]()
        while not done.is_set() or seen < savers * each:
            delta = await watching.changed_since(seen, 7)
            versions = [row.version for row in delta.rows]
            assert versions == sorted(versions)
            assert all(seen < version <= delta.version for version in versions)
            made = [change.version for change in await watching.changes(None, delta.version + 1, 1000)]
            assert made == list(range(delta.version, 0, -1))
            heard += versions
            seen = delta.version
        return heard

    async def save_all() -> list[list[int]]:
        try:
            return await asyncio.gather(*map(save, range(savers)))
        finally:
            done.set()

    versions, heard = await asyncio.gather(save_all(), follow())
    assert sorted(itertools.chain(*versions)) == list(range(1, savers * each + 1))
    assert all(own == sorted(own) for own in versions)
    assert heard == sorted(set(heard))
    assert {own[-1] for own in versions} <= set(heard)


@rule
async def of_many_who_change_one_row_at_once_one_does(make: Make) -> None:
    stores = [await make() for _ in range(4)]
    row = await put(stores[0], key())
    for turn in range(3):
        names = [f"{turn} {n}" for n in range(8)]
        calls = [put(stores[n % 4], replace(row, name=name), row.version) for n, name in enumerate(names)]
        ends = await asyncio.gather(*calls, return_exceptions=True)
        won = [end for end in ends if isinstance(end, Key)]
        assert len(won) == 1
        assert [end.reason for end in ends if isinstance(end, ConflictError)] == ["changed"] * 7
        row = won[0]
        assert await stores[1].get(Key, row.id) == row
