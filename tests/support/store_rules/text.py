"""Awkward text: kept as it is where a store can hold it, refused by name where not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.keys.model import AdminToken, Key, Row, Secret, Team
from penstock.store.interface import Filter, StoreRefusedError

from .rows import AWKWARD, HASH, TOKEN, Make, change, everything, full_key, key, newest, put, rule


@rule
async def awkward_text_is_kept_as_it_is_in_every_field(make: Make) -> None:
    store = await make()
    for n, text in enumerate(AWKWARD):
        names = (text, "plain")
        team = await put(
            store, Team(id=f"t{n}", name=text, models=names, paths=names, networks=names, tags={text: text})
        )
        row = key(
            f"k{n}", name=text, team=team.id, owner=text, models=names, paths=names, networks=names, tags={text: text},
            secrets=(Secret(generation=1, hash=text),),
        )  # fmt: skip
        made = change(row, actor=text, action=text, before={text: text}, after={"deep": [{text: [text]}]})
        row = replace(row, version=await store.save(row, None, made))
        token = await put(store, AdminToken(id=f"a{n}", name=text, role="admin", digest=text))
        assert await store.get(Key, row.id) == row
        assert (await store.get(Key, row.id) or row).secrets[0].hash == text
        assert await store.get(Team, team.id) == await store.find_team(text) == team
        assert await store.get(AdminToken, token.id) == token
        assert list(await store.changes(row.id, None, 1)) == [replace(made, version=row.version)]
        for narrowed in (Filter(owner=text), Filter(tag=(text, text)), Filter(name=text, team=team.id)):
            assert [each.id for each in (await store.list(Key, narrowed, None, 100)).rows] == [row.id]
        assert await store.replace_hash(row.id, 1, text, f"{text}!")
        assert not await store.replace_hash(row.id, 1, text, "?")
        assert (await store.list(Key, Filter(state=text), None, 9)).rows == ()
    assert len(await everything(store)) == 3 * len(AWKWARD)


@rule
async def awkward_ids_are_ids_like_any_other(make: Make) -> None:
    store = await make()
    ids = [text[:200] for text in AWKWARD]
    for id in ids:
        row = await put(store, key(id))
        assert await store.get(Key, id) == row
        assert await store.get_many(Key, [id]) == {id: row}
        await store.touch({id: 5})
        assert (await store.get(Key, id) or row).last_used_us == 5
        assert [each.subject for each in await store.changes(id, None, 9)] == [id]
    assert [row.id for row in (await store.list(Key, Filter(), None, 100)).rows] == sorted(ids)


@rule
async def what_no_store_can_hold_is_refused_by_name(make: Make) -> None:
    store = await make()
    good = full_key()
    bad: Iterable[tuple[str, Row, dict[str, Any]]] = [
        ("name", replace(good, name="a\0b"), {}),
        ("owner", replace(good, owner="\0"), {}),
        ("models", replace(good, models=("x", "y\0")), {}),
        ("tags", replace(good, tags={"k": "\0"}), {}),
        ("tags", replace(good, tags={"\0": "v"}), {}),
        ("id", replace(good, id="a\0"), {}),
        ("id", replace(good, id="x" * 201), {}),
        ("id", replace(good, id=""), {}),
        ("name", replace(good, name="\ud800"), {}),
        ("expires_us", replace(good, expires_us=2**63), {}),
        ("name", Team(id="t", name="\0"), {}),
        ("digest", replace(TOKEN, digest="\0"), {}),
        ("actor", good, {"actor": "\0"}),
        ("after", good, {"after": {"deep": [{"x": "\0"}]}}),
        ("before", good, {"before": {"\0": 1}}),
    ]
    for field, row, facts in bad:
        with pytest.raises(StoreRefusedError, match=field):
            await store.save(row, None, change(row, **facts))
    assert await newest(store) == 0


@rule
async def what_no_store_can_hold_is_found_nowhere(make: Make) -> None:
    store = await make()
    await put(store, key())
    for text in ("\0", "k1\0", "\ud800"):
        assert await store.get(Key, text) is None
        assert [*await store.get_many(Key, (text, "k1"))] == ["k1"]
        assert await store.find_team(text) is None
        assert list(await store.changes(text, None, 10)) == []
        assert not await store.replace_hash("k1", 1, HASH, text)
        for narrowed in (Filter(name=text), Filter(owner=text), Filter(tag=(text, "a")), Filter(state=text)):
            assert (await store.list(Key, narrowed, None, 10)).rows == ()
        assert (await store.list(Key, Filter(), text, 10)).next is None
        await store.touch({text: 5, "k1": 9})
    found = await store.get(Key, "k1")
    assert found is not None
    assert found.last_used_us == 9
