"""Redis, native and connections to Redis that only remember what they were told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from penstock.limits.script import AwayError, Call, Reply, Script


class FakeRunner:
    """Answers each call of a script by what `says` returns; an exception in place of it is raised."""

    def __init__(self) -> None:
        self.away = ""
        self.says: Callable[[str, Call], Reply] = lambda name, call: None
        self.calls: list[tuple[str, Call]] = []
        self.forgotten = 0

    async def run(self, script: Script, calls: Sequence[Call], seconds: float) -> list[Reply]:
        await asyncio.sleep(0)
        self.calls += [(script.name, call) for call in calls]
        if self.away:
            raise AwayError(self.away)
        return [self.says(script.name, call) for call in calls]

    async def forget(self) -> None:
        self.forgotten += 1


class FakeNode:
    """What native was told."""

    def __init__(self) -> None:
        self.states: list[tuple[bool, int]] = []
        self.pressed: list[str] = []

    def shared_state(self, away: bool, nodes: int) -> None:
        self.states.append((away, nodes))

    def shared_pressed(self, tags: list[str]) -> None:
        self.pressed += tags


class FakeServer:
    """The replies that connections read, in order; an exception is raised. `refuses`: no connection comes about;
    `stumbles`: closing one raises that."""

    def __init__(self) -> None:
        self.refuses: Exception | None = None
        self.stumbles: Exception | None = None
        self.replies: list[Any] = []
        self.sent: list[tuple[str | bytes | int, ...]] = []
        self.made: list[FakeConnection] = []

    def make(self) -> FakeConnection:
        self.made.append(FakeConnection(self))
        return self.made[-1]


class FakeConnection:
    """One of them; None as a reply never comes."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self.open = False

    async def connect(self) -> None:
        await asyncio.sleep(0)
        if self._server.refuses is not None:
            raise self._server.refuses
        self.open = True

    async def disconnect(self, nowait: bool = False) -> None:
        assert nowait
        self.open = False
        if self._server.stumbles is not None:
            raise self._server.stumbles

    def pack_commands(self, commands: Sequence[Sequence[str | bytes | int]]) -> list[bytes]:
        self._server.sent += [tuple(command) for command in commands]
        return []

    async def send_packed_command(self, command: list[bytes], check_health: bool = True) -> None:
        assert self.open
        assert not check_health

    async def read_response(self) -> Any:
        await asyncio.sleep(0)
        reply = self._server.replies.pop(0)
        if reply is None:
            await asyncio.Event().wait()
        if isinstance(reply, Exception):
            raise reply
        return reply
