"""A connection to PostgreSQL and what its errors mean; the only importer of asyncpg."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol, cast
from urllib.parse import parse_qsl, urlsplit

import asyncpg  # type: ignore[import-untyped]

from penstock.password_file import read_password
from penstock.store.interface import StoreAwayError, StoreError, StoreHeldError, StoreRefusedError

OLDEST = 13
DRIVER_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

# By SQLSTATE: the server is there but cannot serve just now. Class 25: a standby, or it ended an idle transaction.
_PASSING = ("08", "25", "40", "53", "55", "57")
_DISK_FULL = "53100"
_LOCK_HELD = "55P03"
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")


class Connection(Protocol):
    """What we use of asyncpg's connection."""

    async def execute(self, query: str) -> str: ...
    async def fetch(self, query: str, *values: object) -> Sequence[Sequence[Any]]: ...
    async def fetchval(self, query: str) -> Any: ...
    async def copy_to_table(
        self, table_name: str, *, source: AsyncIterator[bytes], columns: Sequence[str], format: str
    ) -> str: ...
    async def close(self, *, timeout: float) -> None: ...  # noqa: ASYNC109
    def terminate(self) -> None: ...
    def is_closed(self) -> bool: ...
    def get_server_pid(self) -> int: ...
    def add_termination_listener(self, callback: Callable[[object], None]) -> None: ...
    async def add_listener(self, channel: str, callback: Callable[..., None]) -> None: ...


async def connect(url: str, password_file: str | None, seconds: float) -> Connection:
    """A connection that keeps no statement. Raises `StoreRefusedError` or what `explain` explains."""
    for name, path in parse_qsl(urlsplit(url).query):
        if name in _FILES and not os.access(path, os.R_OK):
            raise StoreRefusedError(f"{place(url)}: {name} {path} cannot be read")
    # A statement kept under a name would be looked for on another server when a pooler gives us one.
    connection = await asyncpg.connect(url, password=_password(password_file), statement_cache_size=0, timeout=seconds)
    version, encoding = connection.get_server_version().major, connection.get_settings().server_encoding
    if version < OLDEST or encoding != "UTF8":
        connection.terminate()
        raise StoreRefusedError(
            f"{place(url)} is version {version} with encoding {encoding}: needed are {OLDEST} or newer and UTF8"
        )
    return cast(Connection, connection)


async def part(connection: Connection, seconds: float) -> None:
    """Says good-bye, and does not wait long for the answer."""
    try:
        await connection.close(timeout=seconds)
    except DRIVER_ERRORS:
        connection.terminate()


async def is_direct(connection: Connection) -> bool:
    """Whether the server itself is at the other end: a pooler makes up the process id that a client is told."""
    await connection.execute("BEGIN")
    pid = await connection.fetchval("SELECT pg_backend_pid()")
    await connection.execute("COMMIT")
    return bool(pid == connection.get_server_pid())


def place(url: str) -> str:
    """The server's name for messages, of an address that may hold a password in any corner."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "PostgreSQL"
    if not host or "@" in parts.path + parts.query + parts.fragment:
        return "PostgreSQL"
    return f"PostgreSQL at {host}:{port}" if port else f"PostgreSQL at {host}"


def explain(error: Exception, place: str) -> StoreError:
    """Away or refused. The server's message goes along; its detail, which may repeat values, does not."""
    state = getattr(error, "sqlstate", None)
    if isinstance(error, asyncpg.PostgresError):
        if state == _DISK_FULL or not str(state).startswith(_PASSING):
            return StoreRefusedError(f"{place}: {error.args[0]}")
        if state == _LOCK_HELD:
            return StoreHeldError(f"{place}: {error.args[0]}")
        return StoreAwayError(f"{place}: {error.args[0]}")
    if isinstance(error, asyncpg.InternalClientError):
        return StoreAwayError(f"{place}: {error}")
    if isinstance(error, asyncpg.ClientConfigurationError):
        return StoreRefusedError(f"{place}: the address in store cannot be used: {error.args[0]}")
    if isinstance(error, asyncpg.InterfaceError) and not isinstance(error, ValueError):
        return StoreAwayError(f"{place}: the connection was cut")
    if isinstance(error, ssl.SSLCertVerificationError):
        return StoreRefusedError(f"{place}: its certificate is not believed: {error.verify_message}")
    if isinstance(error, PermissionError) or "rejected SSL" in str(error):
        return StoreRefusedError(f"{place}: {error}")
    if isinstance(error, OSError):
        return StoreAwayError(f"{place} does not answer: {error.strerror or type(error).__name__}")
    return StoreRefusedError(f"{place}: the address in store cannot be used")


def _password(path: str | None) -> str | None:
    """Read each time, so that it may change while we run."""
    if path is None:
        return None
    try:
        return read_password(path)
    except ValueError as error:
        raise StoreRefusedError(f"store.password_file {path} {error}") from None
