"""The crossing to native, from asyncio's side."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from penstock.engine import ADMIN, MAX_AT_ONCE, NOOP, Engine, ForkedError
from tests.unit.conftest import until
from tests.unit.fake_engine import FakeNative


@pytest.fixture
def native() -> Iterator[FakeNative]:
    made = FakeNative(b"{}")
    yield made
    made.close()


async def test_a_question_is_handed_to_its_handler_and_answered(native: FakeNative) -> None:
    async def upper(payload: bytes) -> bytes:
        return payload.upper()

    engine = Engine(native, {ADMIN: upper}, pytest.fail)
    engine.start(b"{}", [])
    native.ask(1, ADMIN, b"a")
    native.ask(2, NOOP)
    await until(lambda: len(native.answers) == 2)
    assert native.answers == {1: b"A", 2: b""}
    assert await engine.stop(1)


async def test_questions_in_work_are_bounded_and_none_is_lost(native: FakeNative) -> None:
    release = asyncio.Event()
    working = most = 0

    async def slow(payload: bytes) -> bytes:
        nonlocal working, most
        working += 1
        most = max(most, working)
        await release.wait()
        working -= 1
        return payload

    engine = Engine(native, {ADMIN: slow}, pytest.fail)
    engine.start(b"{}", [])
    for number in range(3 * MAX_AT_ONCE):
        native.ask(number, ADMIN)
    await until(lambda: working == MAX_AT_ONCE)
    native.ask(1_000, ADMIN)
    release.set()
    await until(lambda: len(native.answers) == 3 * MAX_AT_ONCE + 1)
    assert most == MAX_AT_ONCE
    await engine.stop(1)


async def test_a_handler_that_fails_is_reported_and_the_next_question_is_answered(native: FakeNative) -> None:
    reports: list[str] = []

    async def fail_once(payload: bytes) -> bytes:
        if payload == b"bad":
            raise ValueError("no")
        return payload

    engine = Engine(native, {ADMIN: fail_once}, reports.append)
    engine.start(b"{}", [])
    native.ask(1, ADMIN, b"bad")
    native.ask(2, 99)
    native.ask(3, ADMIN, b"good")
    await until(lambda: 3 in native.answers and len(reports) == 2)
    assert native.answers == {3: b"good"}
    assert sorted(reports) == [
        "a question of kind 1 failed: ValueError('no')",
        "native asked a question of unknown kind 99",
    ]
    await engine.stop(1)


async def test_stopping_leaves_nothing_in_the_loop(native: FakeNative) -> None:
    async def forever(payload: bytes) -> bytes:
        await asyncio.Event().wait()
        return payload

    engine = Engine(native, {ADMIN: forever}, pytest.fail)
    engine.start(b"{}", [])
    native.ask(1, ADMIN)
    await until(lambda: len(asyncio.all_tasks()) == 2)
    await engine.stop(1)
    await until(lambda: len(asyncio.all_tasks()) == 1)
    assert not asyncio.get_running_loop().remove_reader(native.question_fd)
    assert not native.answers


async def test_a_refused_snapshot_is_the_callers_to_handle(native: FakeNative) -> None:
    native.refuses = "snapshot: format 2"
    engine = Engine(native, {}, pytest.fail)
    with pytest.raises(ValueError, match="format 2"):
        engine.start(b"{}", [])


async def test_use_after_a_fork_is_a_clear_error(native: FakeNative, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(native, {}, pytest.fail)
    monkeypatch.setattr("penstock.engine.os.getpid", lambda: -1)
    with pytest.raises(ForkedError, match="does not survive fork"):
        engine.apply(b"{}")
