"""Connections to Redis, on which scripts run; the only importer of redis."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, cast

from redis.asyncio.connection import Connection as TcpConnection
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection
from redis.credentials import CredentialProvider
from redis.exceptions import AskError, NoScriptError, RedisError, ResponseError

from penstock.limits.script import AwayError, Call, Refused, Reply, Script
from penstock.limits.server import Server
from penstock.password_file import read_password

KEPT = 4
"""Connections at most that wait for the next batch."""

IDLE_S = 30.0
"""A connection that nobody used for so long may be dead without a word: it is not used again."""


class Connection(Protocol):
    """What we use of redis-py's connections."""

    async def connect(self) -> None: ...
    async def disconnect(self, nowait: bool = False) -> None: ...
    def pack_commands(self, commands: Sequence[Sequence[str | bytes | int]]) -> list[bytes]: ...
    async def send_packed_command(self, command: list[bytes], check_health: bool = True) -> None: ...
    async def read_response(self) -> Any: ...


class _Kept(NamedTuple):
    connection: Connection
    since: float


class Redis:
    """Runs scripts, each batch on a connection of its own, which is kept for the next one."""

    def __init__(
        self,
        server: Server,
        password_file: str | None = None,
        *,
        make: Callable[[], Connection] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make or _Maker(server, password_file)
        self._clock = clock
        self._kept: list[_Kept] = []
        self._closed = False

    async def run(self, script: Script, calls: Sequence[Call], seconds: float) -> list[Reply]:
        """The replies in the order of the calls. Raises `AwayError`; then any of the calls may have been made."""
        try:
            async with asyncio.timeout(seconds):
                return await self._run(script, calls)
        except TimeoutError:
            raise AwayError("no answer in time") from None

    async def forget(self) -> None:
        """Closes what nobody uses now: after an outage it may be dead without a word."""
        kept, self._kept = self._kept, []
        for each in kept:
            await _close(each.connection)

    async def close(self) -> None:
        """No connection is kept any more."""
        self._closed = True
        await self.forget()

    async def _run(self, script: Script, calls: Sequence[Call]) -> list[Reply]:
        while (connection := await self._take()) is not None:
            try:
                return await self._on(connection, script, calls)
            except AwayError:
                continue  # it was closed while nobody looked; scripts bear being asked twice
        connection = self._make()
        try:
            await connection.connect()
        except BaseException as error:
            await _close(connection)
            raise _explain(error) from None
        return await self._on(connection, script, calls)

    async def _take(self) -> Connection | None:
        while self._kept:
            connection, since = self._kept.pop()
            if self._clock() - since < IDLE_S:
                return connection
            await _close(connection)
        return None

    async def _on(self, connection: Connection, script: Script, calls: Sequence[Call]) -> list[Reply]:
        try:
            replies = await _exchange(connection, [_command(script, each) for each in calls])
            missing = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
            if missing:
                again = [_command(script, calls[place]) for place in missing]
                load: tuple[str | bytes | int, ...] = ("SCRIPT", "LOAD", script.text)
                loaded, *others = await _exchange(connection, [load, *again])
                for place, reply in zip(missing, others, strict=True):
                    # Where it was not loaded, that is the reason, and not that it is not there.
                    replies[place] = loaded if isinstance(loaded, ResponseError) else reply
        except BaseException as error:
            await _close(connection)
            raise _explain(error) from None
        if self._closed or len(self._kept) >= KEPT:
            await _close(connection)
        else:
            self._kept.append(_Kept(connection, self._clock()))
        return [Refused(_reason(each)) if isinstance(each, ResponseError) else each for each in replies]


def _command(script: Script, call: Call) -> tuple[str | bytes | int, ...]:
    return ("EVALSHA", script.sha, len(call.keys), *call.keys, *call.arguments)


async def _exchange(connection: Connection, commands: Sequence[Sequence[str | bytes | int]]) -> list[Any]:
    """Sends all, then reads all; an error that stands in place of a reply is one."""
    await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
    replies: list[Any] = []
    for _ in commands:
        try:
            replies.append(await connection.read_response())
        except ResponseError as error:
            replies.append(error)
    return replies


def _reason(error: ResponseError) -> str:
    if isinstance(error, AskError):  # or `MovedError`, which is one
        return "this Redis is part of a cluster, which cannot be used; name a single server in shared.url"
    return str(error)


async def _close(connection: Connection) -> None:
    """Without a word, and without waiting for the other side. It is given up, whatever the library makes of that: who
    closes it has a failure to tell already, and the beats must go on."""
    with contextlib.suppress(Exception):
        await connection.disconnect(nowait=True)


def _explain(error: BaseException) -> BaseException:
    """Failures of the connection become `AwayError`; what is none of them stays as it is.

    A `RuntimeError` is what uvloop raises where a transport was closed that is written to.
    """
    if isinstance(error, OSError | RedisError | ValueError | RuntimeError | asyncio.IncompleteReadError):
        return AwayError(str(error).rstrip(".") or type(error).__name__)
    return error


class _Password(CredentialProvider):
    """Reads the file with each new connection, so that a password may be changed in it."""

    def __init__(self, username: str | None, file: str) -> None:
        self._username, self._file = username, file

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        try:
            password = read_password(self._file)
        except ValueError as error:
            raise ValueError(f"{self._file} {error}") from None
        return (self._username, password) if self._username else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return self.get_credentials()


class _Maker:
    """Makes connections. Those over TLS have one context, as reading the authorities of the system takes long and much
    memory; it is made anew when a file has changed.
    """

    def __init__(self, server: Server, password_file: str | None) -> None:
        self._server = server
        self._usual: dict[str, Any] = {"db": server.database, "protocol": 2}
        self._usual |= {"socket_timeout": None, "socket_connect_timeout": None}  # whoever calls has its own
        if password_file is not None:
            self._usual["credential_provider"] = _Password(server.username, password_file)
        else:
            self._usual |= {"username": server.username, "password": server.password}
        self._context: object = None
        self._read: list[tuple[int, int]] = []

    def __call__(self) -> Connection:
        server = self._server
        if server.socket:
            made: object = UnixDomainSocketConnection(path=server.socket, **self._usual)
        elif server.tls:
            made = self._over_tls(server)
        else:
            made = TcpConnection(host=server.host, port=server.port, **self._usual)
        return cast(Connection, made)

    def _over_tls(self, server: Server) -> SSLConnection:
        # Before version 6 the library does not compare names unless it is told to.
        options: dict[str, Any] = self._usual | dict(server.files) | {"ssl_check_hostname": True}
        made = SSLConnection(host=server.host, port=server.port, **options)
        read = _facts([path for _, path in server.files])
        if self._context is None or read != self._read:
            self._context, self._read = made.ssl_context, read
        made.ssl_context = cast(Any, self._context)
        return made


def _facts(paths: Sequence[str]) -> list[tuple[int, int]]:
    """What changes when one of these files does."""
    found = []
    for path in paths:
        try:
            of = os.stat(path)
        except OSError:
            continue
        found.append((of.st_ino, of.st_mtime_ns))
    return found
