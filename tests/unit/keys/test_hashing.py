"""Hashing: Argon2id as others compute it, in few threads of low priority, with memory that goes back."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from argon2 import low_level

from penstock.keys.argon2id import OWASP, Blocks, Cost, DamagedHashError, decode
from penstock.keys.hashing import Hasher, HasherBusyError, Rank, hash_imported, threads_on
from penstock.priority import LAST_NICE
from tests.unit.conftest import until

TINY = Cost(8, 1, 1)
SECRET = "sk-foreign-0123456789abcdef"


@pytest.fixture
def make() -> Iterator[Callable[..., Hasher]]:
    made: list[Hasher] = []

    def with_cost(cost: Cost = TINY, **options: float) -> Hasher:
        made.append(Hasher(cost, floor=min(cost, TINY), **options))  # type: ignore[arg-type]
        return made[-1]

    yield with_cost
    for hasher in made:
        hasher.close()


def theirs(secret: str, cost: Cost = TINY) -> str:
    """A hash made by argon2-cffi's usual way."""
    found = low_level.hash_secret(
        secret.encode(), b"0123456789abcdef", cost.iterations, cost.memory_kib, cost.parallelism, 32, low_level.Type.ID
    )
    return found.decode()


@pytest.mark.parametrize("cost", [TINY, Cost(64, 3, 2), Cost(1024, 2, 4), Cost(35, 1, 3)])
async def test_hashes_are_those_of_argon2_cffi_both_ways(make: Callable[..., Hasher], cost: Cost) -> None:
    hasher = make(cost)
    ours = await hasher.hash(SECRET)
    assert low_level.verify_secret(ours.encode(), SECRET.encode(), low_level.Type.ID)
    assert await hasher.verify(SECRET, theirs(SECRET, cost))
    assert not await hasher.verify(SECRET + "x", theirs(SECRET, cost))
    assert str(decode(theirs(SECRET, cost))) == theirs(SECRET, cost)


async def test_two_hashes_of_one_secret_differ(make: Callable[..., Hasher]) -> None:
    hasher = make()
    assert await hasher.hash(SECRET) != await hasher.hash(SECRET)


async def test_the_system_that_allows_no_hooks_costs_memory_only(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = low_level.ffi

    class NoCallbacks:
        def __getattr__(self, name: str) -> object:
            return getattr(usual, name)

        def callback(self, *_: object, **__: object) -> None:
            raise MemoryError("no executable memory")

    monkeypatch.setattr(low_level, "ffi", NoCallbacks())
    blocks = Blocks()
    assert blocks.is_right(SECRET.encode(), decode(blocks.hash(SECRET.encode(), TINY)))


async def test_an_imported_hash_is_compared_without_argon2(
    make: Callable[..., Hasher], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Blocks, "is_right", lambda *_: pytest.fail("computed"))
    hasher = make()
    assert await hasher.verify(SECRET, hash_imported(SECRET.encode()))
    assert not await hasher.verify(SECRET + "x", hash_imported(SECRET.encode()))


@pytest.mark.parametrize(
    "stored",
    [
        "", "plain", "$argon2i$v=19$m=8,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=8,t=0,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=9999999,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=8,t=1,p=1$MDEyMzQ1Njc4OWFiY$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ],
)  # fmt: skip
async def test_a_damaged_hash_is_told_apart_from_a_wrong_secret(make: Callable[..., Hasher], stored: str) -> None:
    with pytest.raises(DamagedHashError) as error:
        await make().verify(SECRET, stored)
    assert "argon2i$" not in str(error.value)


def test_a_cost_below_the_floor_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="memory_kib is 8; at least 19456"):
        Hasher(Cost(8, 2, 1))
    with pytest.raises(ValueError, match="iterations is 1; at least 2"):
        Hasher(Cost(19456, 1, 1))
    Hasher(OWASP).close()


def test_rehash_is_due_when_any_parameter_has_risen_and_for_imported_hashes(make: Callable[..., Hasher]) -> None:
    hasher = make(Cost(64, 2, 1))
    assert hasher.needs_rehash(theirs(SECRET, Cost(32, 2, 1)))
    assert hasher.needs_rehash(theirs(SECRET, Cost(64, 1, 1)))
    assert hasher.needs_rehash(hash_imported(b"x"))
    assert not hasher.needs_rehash(theirs(SECRET, Cost(64, 2, 1)))
    assert not hasher.needs_rehash(theirs(SECRET, Cost(128, 3, 1)))


async def test_it_works_in_at_most_two_threads_whose_priority_alone_is_lowest(
    make: Callable[..., Hasher], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[tuple[int, int]] = set()
    together = threading.Barrier(2, timeout=10)

    def look(_: Blocks, __: bytes, ___: Cost) -> str:
        together.wait()
        seen.add((threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
        return ""

    monkeypatch.setattr(Blocks, "hash", look)
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    hasher = make()
    await asyncio.gather(*(hasher.hash(SECRET) for _ in range(8)))
    assert len(seen) == 2
    assert {nice for _, nice in seen} == {LAST_NICE}
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


async def test_a_full_queue_refuses_and_administrators_go_first(
    make: Callable[..., Hasher], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, order = threading.Event(), []

    def slow(_: Blocks, secret: bytes, __: Cost) -> str:
        gate.wait(10)
        order.append(secret.decode())
        return ""

    monkeypatch.setattr(Blocks, "hash", slow)
    hasher = make(waiting=4, threads=1)
    tasks = [asyncio.ensure_future(hasher.hash(name, Rank.LATER)) for name in ("a", "b", "later")]
    tasks.append(asyncio.ensure_future(hasher.hash("request", Rank.REQUEST)))
    tasks.append(asyncio.ensure_future(hasher.hash("admin", Rank.ADMIN)))
    await asyncio.sleep(0)
    with pytest.raises(HasherBusyError, match="too many"):
        await hasher.hash("one more")
    tasks[2].cancel()
    gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == ["a", "admin", "request", "b"]  # the first had begun


async def test_whoever_gives_up_leaves_room_in_the_queue(
    make: Callable[..., Hasher], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(Blocks, "is_right", lambda *_: gate.wait(10))
    hasher = make(waiting=3)
    tasks = [asyncio.ensure_future(hasher.verify(SECRET, theirs(SECRET), "one")) for _ in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(HasherBusyError, match="too many"):
        await hasher.verify(SECRET, theirs(SECRET), "other")
    for task in tasks[2:]:
        task.cancel()
    await asyncio.wait(tasks[2:])
    more = [asyncio.ensure_future(hasher.verify(SECRET, theirs(SECRET), "other")) for _ in range(3)]
    await asyncio.sleep(0)
    gate.set()
    assert all(await asyncio.gather(*tasks[:2], *more))


async def test_closing_ends_those_who_wait(make: Callable[..., Hasher], monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(Blocks, "hash", lambda *_: gate.wait(10) and "")
    hasher = make()
    tasks = [asyncio.ensure_future(hasher.hash("x")) for _ in range(3)]
    await asyncio.sleep(0)
    hasher.close()
    with pytest.raises(HasherBusyError, match="ending"):
        await tasks[2]
    gate.set()
    await asyncio.wait(tasks)
    with pytest.raises(HasherBusyError, match="ending"):
        await hasher.hash("x")
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_memory_goes_back_to_the_system_after_many_verifications() -> None:
    hasher = Hasher(idle_s=0.05)
    stored = await hasher.hash(SECRET)
    await until(lambda: not hasher._blocks._free)
    before = resident_bytes()
    right = await asyncio.gather(*(hasher.verify(SECRET, stored) for _ in range(12)))
    assert all(right)
    assert resident_bytes() > before + (16 << 20)  # kept from one to the next
    await until(lambda: resident_bytes() < before + (4 << 20))
    assert await hasher.verify(SECRET, stored)
    hasher.close()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (3, 1), (4, 2), (64, 2)])
def test_half_of_the_cores_hash_and_never_more_than_two(cores: int, threads: int) -> None:
    assert threads_on(cores) == threads


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="Linux has it")
async def test_a_hash_makes_way_for_everything_else(
    make: Callable[..., Hasher], monkeypatch: pytest.MonkeyPatch
) -> None:
    policies: list[int] = []

    def note(*_: object) -> str:
        policies.append(os.sched_getscheduler(0))
        return ""

    monkeypatch.setattr(Blocks, "hash", note)
    await make().hash("secret")
    assert policies == [os.SCHED_IDLE]
    assert os.sched_getscheduler(0) != os.SCHED_IDLE
