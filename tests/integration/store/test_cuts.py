"""A connection that is cut in the middle of a call: made once more, else a clear error; never half a change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from msgspec.structs import replace

from penstock.keys.model import Key, Secret, Team
from penstock.store.interface import Filter, Store, StoreAwayError
from penstock.store.migrate import FOLDER, read_migrations
from penstock.store.open import make_store
from tests.support.loop import LoopThread
from tests.support.postgres import Postgres
from tests.support.proxy import CuttingProxy
from tests.support.store_rules.rows import HASH, TOKEN, change, drop, everything, key, newest, put

pytestmark = pytest.mark.postgres
OURS = [each.name for each in read_migrations(FOLDER / "postgres")]
PLACES = 8
"""At how many places of a call it is cut."""
PIECE = 5
"""Bytes that pass at once, so that places are exact."""


class Operation:
    """A call, what must be there before it, and what must be true after it was made, or not made."""

    def __init__(self, direct: Store, n: int) -> None:
        self.direct = direct
        self.n = n

    async def prepare(self) -> None: ...

    async def call(self, store: Store) -> object:
        raise AssertionError("each operation has its own")

    async def check(self, made: bool) -> bool:
        """`made`: the call returned. Else the change is there or not, but whole; whether it is, if that shows."""
        return made


class Read(Operation):
    """Gives through the proxy what it gives without."""

    def __init__(self, read: Callable[[Store], Awaitable[object]], direct: Store, n: int) -> None:
        super().__init__(direct, n)
        self._read = read

    async def prepare(self) -> None:
        if self.n == 0:
            await put(self.direct, Team(id="t", name="team"))
            for n in range(3):
                await put(self.direct, key(f"k{n}", team="t"))
            await drop(self.direct, await put(self.direct, TOKEN))

    async def call(self, store: Store) -> object:
        found = await self._read(store)
        assert found == await self._read(self.direct)
        return found


class Saving(Operation):
    """A change with a row before it, or none, and a row after it."""

    before: Key | None = None
    after: Key

    async def prepare(self) -> None:
        id = f"k{self.n}"
        self.before = await self.make_before(id)
        self.after = self.make_after(id)
        self.change = change(self.after, id=f"the change {self.n}")

    async def make_before(self, id: str) -> Key | None:
        return await put(self.direct, key(id))

    def make_after(self, id: str) -> Key:
        return key(id, name="turned", secrets=(Secret(generation=2, hash="new"), Secret(generation=3, hash="newer")))

    async def call(self, store: Store) -> object:
        return await store.save(self.after, None if self.before is None else self.before.version, self.change)

    async def check(self, made: bool) -> bool:
        row = await self.direct.get(Key, self.after.id)
        changes = [each for each in await self.direct.changes(self.after.id, None, 9) if each.id == self.change.id]
        if made or changes:
            (kept,) = changes
            tombstone = [each for each in await everything(self.direct) if each.id == self.after.id]
            if self.after.state == "deleted":
                assert row is None
                assert tombstone == [Key(id=self.after.id, name="", state="deleted", version=kept.version)]
            else:
                assert row == replace(self.after, version=kept.version)
            assert kept == replace(self.change, version=kept.version)
            assert kept.version <= await newest(self.direct)
        else:
            assert row == self.before
        versions = [each.version for each in await self.direct.changes(None, None, 10_000)]
        assert versions == list(range(await newest(self.direct), 0, -1))
        return bool(changes)


class Creating(Saving):
    async def make_before(self, id: str) -> Key | None:
        return None


class Deleting(Saving):
    def make_after(self, id: str) -> Key:
        return key(id, state="deleted")


class Recording(Operation):
    """`record`."""

    async def prepare(self) -> None:
        self.change = change(key(f"k{self.n}"), id=f"the change {self.n}")

    async def call(self, store: Store) -> object:
        return await store.record(self.change)

    async def check(self, made: bool) -> bool:
        kept = list(await self.direct.changes(f"k{self.n}", None, 9))
        assert [each.id for each in kept] in ([[self.change.id]] if made else [[self.change.id], []])
        versions = [each.version for each in await self.direct.changes(None, None, 10_000)]
        assert versions == list(range(await newest(self.direct), 0, -1))
        return bool(kept)


class Exchanging(Operation):
    """`replace_hash`."""

    async def prepare(self) -> None:
        self.row = await put(self.direct, key(f"k{self.n}"))

    async def call(self, store: Store) -> object:
        assert await store.replace_hash(self.row.id, 1, HASH, "new")
        return True

    async def check(self, made: bool) -> bool:
        row = await self.direct.get(Key, self.row.id)
        assert row is not None
        assert row.secrets[0].hash in (("new",) if made else ("new", HASH))
        return row.secrets[0].hash == "new"


class Touching(Operation):
    """`touch`."""

    async def prepare(self) -> None:
        self.rows = [await put(self.direct, key(f"k{self.n}-{each}")) for each in range(3)]

    async def call(self, store: Store) -> object:
        await store.touch({row.id: 7 for row in self.rows})
        return None

    async def check(self, made: bool) -> bool:
        found = [await self.direct.get(Key, row.id) for row in self.rows]
        times = {row.last_used_us for row in found if row is not None}
        assert times in ([{7}] if made else [{7}, {None}])
        return times == {7}


class Purging(Operation):
    """`purge`."""

    async def prepare(self) -> None:
        await drop(self.direct, await put(self.direct, key(f"k{self.n}")))
        await drop(self.direct, await put(self.direct, Team(id=f"t{self.n}", name="a")))
        await drop(self.direct, await put(self.direct, replace(TOKEN, id=f"a{self.n}")))

    async def call(self, store: Store) -> object:
        return await store.purge(2**62)

    async def check(self, made: bool) -> bool:
        if made:
            assert await everything(self.direct) == []
        return made


READS: dict[str, Callable[[Store], Awaitable[object]]] = {
    "changed_since": lambda store: store.changed_since(1, 2),
    "get": lambda store: store.get(Key, "k1"),
    "get_many": lambda store: store.get_many(Key, ("k1", "k2")),
    "find_team": lambda store: store.find_team("team"),
    "list": lambda store: store.list(Key, Filter(team="t"), "k0", 1),
    "changes": lambda store: store.changes("k1", None, 9),
}
WRITES: dict[str, type[Operation]] = {
    "create": Creating,
    "update": Saving,
    "delete": Deleting,
    "record": Recording,
    "replace_hash": Exchanging,
    "touch": Touching,
    "purge": Purging,
}


@pytest.fixture(params=[*READS, *WRITES])
def operation(request: pytest.FixtureRequest) -> Callable[[Store, int], Operation]:
    name: str = request.param
    return WRITES[name] if name in WRITES else lambda direct, n: Read(READS[name], direct, n)


@pytest.fixture
def proxy(loop: LoopThread, postgres: Postgres) -> Iterator[CuttingProxy]:
    with CuttingProxy(loop, "127.0.0.1", postgres.port) as proxy:
        proxy.chop = PIECE
        yield proxy


@pytest.fixture
async def direct(postgres: Postgres, database: str) -> AsyncIterator[Store]:
    """The store without the proxy."""
    store = make_store(postgres.url(database), "")
    await store.open(migrate=False)
    yield store
    await store.close()


@pytest.fixture
async def through(postgres: Postgres, database: str, proxy: CuttingProxy) -> AsyncIterator[Store]:
    """The store behind the proxy, connected."""
    store = make_store(postgres.url(database, port=proxy.port), "", pool=1)
    await store.open(migrate=False)
    yield store
    await store.close()


async def test_a_call_that_is_cut_is_made_once_more(
    operation: Callable[[Store, int], Operation], direct: Store, through: Store, proxy: CuttingProxy
) -> None:
    proxy.cut_once = True
    for n, place in enumerate([None, *await _places(operation, direct, through, proxy)], 1):
        one = operation(direct, n)
        await one.prepare()
        await newest(through)
        connections = proxy.connections
        proxy.passed, proxy.cut_after = 0, place
        await one.call(through)
        await one.check(made=True)
        assert proxy.connections - connections == (place is not None), f"cut after {place} bytes"


async def test_a_call_that_is_cut_again_and_again_says_that_the_store_is_away_and_is_whole(
    operation: Callable[[Store, int], Operation], direct: Store, through: Store, proxy: CuttingProxy
) -> None:
    for n, place in enumerate(await _places(operation, direct, through, proxy), 1):
        one = operation(direct, n)
        await one.prepare()
        await newest(through)
        connections = proxy.connections
        proxy.passed, proxy.cut_after = 0, place
        with pytest.raises(StoreAwayError, match=r"PostgreSQL at 127\.0\.0\.1") as caught:
            await one.call(through)
        assert proxy.connections - connections in (1, 2), f"cut after {place} bytes"  # two where TLS is asked for first
        proxy.cut_after = None
        assert await one.check(made=False) <= caught.value.in_doubt, f"cut after {place} bytes"
        # Whoever asks again gets the answer of the call that is in doubt.
        await one.call(through)
        await one.check(made=True)


async def test_a_connection_that_is_cut_while_it_is_made_is_made_once_more(
    postgres: Postgres, database: str, direct: Store, proxy: CuttingProxy
) -> None:
    async def version() -> int:
        store = make_store(postgres.url(database, port=proxy.port), "")
        try:
            await store.open(migrate=False)
            return await newest(store)
        finally:
            await store.close()

    await put(direct, key())
    assert await version() == 1
    whole = proxy.passed
    proxy.cut_once = True
    for place in range(1, whole, whole // 40):
        proxy.passed, proxy.cut_after = 0, place
        assert await version() == 1


async def test_a_migration_that_is_cut_is_whole_or_not_there(postgres: Postgres, proxy: CuttingProxy) -> None:
    async def opened(name: str) -> list[str]:
        store = make_store(postgres.url(name, port=proxy.port), "")
        try:
            return await store.open(migrate=True)
        finally:
            await store.close()

    proxy.chop = 40
    names = [postgres.create() for _ in range(7)]
    assert await opened(names[0]) == OURS
    whole = proxy.passed
    for n, name in enumerate(names[1:], 1):
        proxy.cut_once = n % 2 == 0
        proxy.passed, proxy.cut_after = 0, n * whole // len(names)
        if proxy.cut_once:
            await opened(name)  # [] when only the answer to COMMIT was lost
        else:
            with pytest.raises(StoreAwayError):
                await opened(name)
        tables = postgres.sql("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'penstock%'", name)
        assert tables in (["10"] if proxy.cut_once else ["0", "7", "10"])  # none, those of keys, all
        proxy.cut_after = None
        await opened(name)
        assert postgres.sql("SELECT name FROM penstock_migrations ORDER BY name", name).split() == OURS
    for name in names:
        postgres.drop(name)


async def _places(
    operation: Callable[[Store, int], Operation], direct: Store, through: Store, proxy: CuttingProxy
) -> list[int]:
    """After how many bytes to cut: from the first to the last of a call."""
    one = operation(direct, 0)
    await one.prepare()
    await newest(through)
    proxy.passed = 0
    await one.call(through)
    await one.check(made=True)
    whole = proxy.passed
    answer = [whole - 4 * PIECE, whole - 2 * PIECE]  # to COMMIT: what was done is done, and nobody was told
    return [1 + n * (whole - 1) // PLACES for n in range(PLACES)] + answer
