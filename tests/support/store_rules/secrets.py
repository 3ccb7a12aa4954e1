"""Secrets, their hashes, and times of use."""

from __future__ import annotations

from msgspec.structs import replace

from penstock.keys.model import Key, Secret

from .rows import HASH, Make, drop, everything, full_key, key, newest, put, rule


@rule
async def secrets_come_end_and_go_with_their_key(make: Make) -> None:
    store = await make()
    first, second = Secret(generation=1, hash="h1"), Secret(generation=2, hash="h2")
    row = await put(store, key(secrets=(first,)))
    ending = replace(first, until_us=50)
    row = await put(store, replace(row, secrets=(second, ending)), row.version)
    row = replace(row, secrets=(ending, second))
    assert await store.get(Key, "k1") == row
    row = await put(store, replace(row, secrets=(second,)), row.version)
    assert await store.get(Key, "k1") == row
    await put(store, key("k2", secrets=(Secret(generation=2, hash="of another key"),)))
    row = await put(store, replace(row, secrets=()), row.version)
    assert await store.get(Key, "k1") == row
    other = await store.get(Key, "k2")
    assert other is not None
    assert other.secrets[0].hash == "of another key"


@rule
async def a_hash_is_exchanged_only_for_the_one_that_was_seen(make: Make) -> None:
    store, other = await make(), await make()
    row = await put(store, full_key())
    old = row.secrets[0].hash
    assert not await store.replace_hash(row.id, 1, "another", "new")
    assert not await store.replace_hash(row.id, 2, old, "new")
    assert not await store.replace_hash("unknown", 1, old, "new")
    assert await store.replace_hash(row.id, 1, old, "new")
    assert not await other.replace_hash(row.id, 1, old, "newer")
    assert await newest(store) == row.version
    found = await other.get(Key, row.id)
    assert found is not None
    assert [secret.hash for secret in found.secrets] == ["new", HASH]
    assert found.version == row.version


@rule
async def a_generation_that_is_there_keeps_its_hash(make: Make) -> None:
    """Whoever saves may have read the key before its hash was exchanged; the version does not tell."""
    store = await make()
    row = await put(store, key())
    assert await store.replace_hash(row.id, 1, HASH, "better")
    await put(store, replace(row, name="renamed"), row.version)
    found = await store.get(Key, row.id)
    assert found is not None
    assert (found.name, found.secrets[0].hash) == ("renamed", "better")


@rule
async def times_of_use_only_rise(make: Make) -> None:
    store, other = await make(), await make()
    row = await put(store, key())
    deleted = await put(store, key("kdeleted"))
    await drop(store, deleted)
    version = await newest(store)

    async def used() -> int | None:
        found = await other.get(Key, row.id)
        assert found is not None
        return found.last_used_us

    await store.touch({})
    assert await used() is None
    await store.touch({row.id: 100, "unknown": 5, deleted.id: 5, "odd'\"\\ id": 7})
    assert await used() == 100
    await other.touch({row.id: 99})
    assert await used() == 100
    await store.touch({row.id: 1_700_000_000_000_003})
    assert await used() == 1_700_000_000_000_003
    assert await newest(store) == version
    renamed = await put(store, replace(row, name="b", last_used_us=50), row.version)
    assert await used() == 1_700_000_000_000_003
    await put(store, replace(renamed, last_used_us=None), renamed.version)
    assert await used() == 1_700_000_000_000_003
    assert [each for each in await everything(store) if each.state == "deleted"] == [
        Key(id=deleted.id, name="", state="deleted", version=version)
    ]
