"""The pool of connections, with connections that the test plays."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from penstock.store.database import Session
from penstock.store.interface import ConflictError, StoreAwayError, StoreError, StoreRefusedError
from penstock.store.postgres import IDLE_S, PostgresDatabase


class Played:
    """A connection. `dead`: it looks open until it is used; `dies_at`, `hangs_at`: until it is told this word; `parts`:
    when it has said good-bye."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.dead = False
        self.parts = asyncio.Event()
        self.parts.set()
        self.dies_at = self.hangs_at = ""
        self.closed = self.parted = False
        self.said: list[str] = []

    async def execute(self, query: str) -> str:
        await asyncio.sleep(0)
        word = query.removeprefix("NOTIFY penstock; ").partition(" ")[0].rstrip(";")
        if self.dead or word == self.dies_at:
            raise ConnectionResetError
        if word == self.hangs_at:
            await asyncio.Event().wait()
        self.said.append(word)
        return ""

    async def fetch(self, query: str, *values: object) -> Sequence[Sequence[Any]]:
        await self.execute(query)
        return [(self.pid,)]

    async def fetchval(self, query: str) -> Any:
        return await self.execute(query)

    async def close(self, *, timeout: float) -> None:  # noqa: ASYNC109
        await self.parts.wait()
        self.closed = self.parted = True

    def terminate(self) -> None:
        self.closed = True

    def is_closed(self) -> bool:
        return self.closed

    def get_server_pid(self) -> int:
        return self.pid

    def add_termination_listener(self, callback: Callable[[object], None]) -> None: ...

    async def add_listener(self, channel: str, callback: Callable[..., None]) -> None: ...


class Scene:
    """A database whose connections are played, and all that were made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pool: int) -> None:
        self.made: list[Played] = []
        self.database = PostgresDatabase("postgresql://u@h/d", pool=pool, call_s=5.0)
        self.born_dead = False
        self.parts: asyncio.Event | None = None
        """When its connections have said good-bye."""
        self.dies_at = self.hangs_at = ""
        monkeypatch.setattr("penstock.store.postgres.connect", self._connect)

    async def _connect(self, *_: object) -> Played:
        await asyncio.sleep(0)
        self.made.append(Played(len(self.made)))
        made = self.made[-1]
        made.dead, made.dies_at, made.hangs_at = self.born_dead, self.dies_at, self.hangs_at
        made.parts = self.parts or made.parts
        return self.made[-1]

    async def pid(self) -> int:
        """Whose connection answers."""
        return await self.database.read(whose)


async def whose(session: Session) -> int:
    ((pid,),) = await session.fetch("SELECT pid")
    return int(pid)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch, pool=3)


async def test_one_caller_needs_one_connection(scene: Scene) -> None:
    assert [await scene.pid() for _ in range(5)] == [0] * 5
    assert scene.made[0].said == ["BEGIN", "SELECT", "COMMIT"] * 5


async def test_many_callers_share_what_the_pool_allows(scene: Scene) -> None:
    assert set(await asyncio.gather(*(scene.pid() for _ in range(20)))) == {0, 1, 2}
    assert len(scene.made) == 3


async def test_the_second_try_is_on_a_fresh_connection_though_others_look_open(scene: Scene) -> None:
    await asyncio.gather(*(scene.pid() for _ in range(3)))
    for each in scene.made:
        each.dead = True
    assert await scene.pid() == 3
    assert [each.closed for each in scene.made] == [True, True, True, False]


async def test_there_is_no_third_try(scene: Scene) -> None:
    await scene.pid()
    scene.made[0].dead = scene.born_dead = True
    with pytest.raises(StoreAwayError, match="PostgreSQL at h does not answer"):
        await scene.pid()
    assert len(scene.made) == 2
    assert all(each.closed for each in scene.made)


async def test_a_refused_change_is_undone_and_its_connection_kept(scene: Scene) -> None:
    async def refuse(session: Session) -> None:
        raise ConflictError("exists", "it is there")

    with pytest.raises(ConflictError):
        await scene.database.write(refuse)
    assert await scene.pid() == 0
    assert scene.made[0].said == ["BEGIN", "ROLLBACK", "BEGIN", "SELECT", "COMMIT"]


@pytest.mark.parametrize(("word", "in_doubt"), [("BEGIN", False), ("SELECT", False), ("COMMIT", True)])
@pytest.mark.parametrize("way", ["dies_at", "hangs_at"])
async def test_a_change_is_in_doubt_once_it_was_to_be_committed(
    scene: Scene, way: str, word: str, in_doubt: bool
) -> None:
    scene.database._call_s = 0.05
    setattr(scene, way, word)
    for tell in (False, True):
        with pytest.raises(StoreAwayError) as caught:
            await scene.database.write(whose, tell=tell)
        assert caught.value.in_doubt == in_doubt
    with pytest.raises(StoreAwayError) as caught:
        await scene.database.read(whose)
    assert not caught.value.in_doubt


async def test_a_doubt_outlasts_a_second_try_that_comes_to_nothing(scene: Scene) -> None:
    await scene.pid()
    scene.made[0].dies_at = "COMMIT"
    scene.born_dead = True
    with pytest.raises(StoreAwayError, match="does not answer") as caught:
        await scene.database.write(whose)
    assert caught.value.in_doubt


@pytest.mark.parametrize("error", [StoreRefusedError("no room"), ConflictError("changed", "by somebody")])
async def test_a_second_try_that_is_refused_leaves_the_doubt_and_one_that_sees_the_rows_ends_it(
    scene: Scene, error: StoreError
) -> None:
    await scene.pid()
    scene.made[0].dies_at = "COMMIT"

    async def refuse_later(session: Session) -> None:
        if await whose(session) == 1:
            raise error

    with pytest.raises(type(error) if isinstance(error, ConflictError) else StoreAwayError, match=str(error)) as caught:
        await scene.database.write(refuse_later)
    assert getattr(caught.value, "in_doubt", False) != isinstance(error, ConflictError)


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyError])
async def test_whatever_else_ends_a_transaction_ends_its_connection(scene: Scene, error: type[BaseException]) -> None:
    async def end(session: Session) -> None:
        raise error

    with pytest.raises(error):
        await scene.database.write(end)
    assert await scene.pid() == 1
    assert (scene.made[0].closed, scene.made[0].parted) == (True, True)


async def test_a_connection_that_leaves_keeps_its_place_until_it_has_left(scene: Scene) -> None:
    scene.parts = asyncio.Event()
    hold = asyncio.Event()

    async def wait(session: Session) -> None:
        await hold.wait()

    gone = [asyncio.ensure_future(scene.database.read(wait)) for _ in range(3)]
    for _ in range(20):
        await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    await asyncio.wait(gone)
    later = asyncio.ensure_future(scene.pid())
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(scene.made) == 3, "not one more than the pool allows"
    scene.parts.set()
    assert await later == 3
    assert set(await asyncio.gather(*(scene.pid() for _ in range(9)))) == {3, 4, 5}


async def test_a_connection_that_rested_for_long_is_not_used(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    await asyncio.gather(*(scene.pid() for _ in range(2)))
    now = time.monotonic()
    monkeypatch.setattr("penstock.store.postgres.time.monotonic", lambda: now + IDLE_S + 1)
    assert await scene.pid() == 2
    assert [each.closed for each in scene.made] == [True, True, False]


async def test_a_waiting_caller_is_told_when_the_pool_stays_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch, pool=1)
    scene.database._call_s = 0.05
    holds = asyncio.Event()

    async def hold(session: Session) -> None:
        holds.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(scene.database.write(hold, patient=True))
    await holds.wait()
    with pytest.raises(StoreAwayError, match=r"did not answer within 0\.05 s"):
        await scene.pid()
    task.cancel()
    await asyncio.wait([task])
    assert await scene.pid() == 1


async def test_a_connection_that_is_made_while_the_store_closes_is_not_kept(scene: Scene) -> None:
    call = asyncio.ensure_future(scene.pid())
    await asyncio.sleep(0)
    await scene.database.close()
    with pytest.raises(StoreAwayError, match="closed"):
        await call
    assert [(each.said, each.closed) for each in scene.made] == [(["ROLLBACK"], True)]


async def test_closing_parts_with_every_connection(scene: Scene) -> None:
    await asyncio.gather(*(scene.pid() for _ in range(3)))
    await scene.database.close()
    assert all(each.closed for each in scene.made)
    with pytest.raises(StoreAwayError, match="closed"):
        await scene.pid()
