"""Where the Redis of shared limits is: `redis://`, `rediss://` and `unix://` URLs, read and named without secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

SCHEMES = ("redis", "rediss", "unix")
EXPECTED = "expected redis://host:6379/0, rediss:// or unix:///path"
TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
PARAMETERS = ("db", *TLS_FILES)
MOST_DATABASES = 1 << 16
_SHAPE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[!-~]*\Z")


class ServerError(ValueError):
    """The URL leads nowhere; neither the message nor the hint repeats a piece of it that could be secret."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Server:
    """One Redis: a host and port, or a Unix socket."""

    host: str = ""
    port: int = 6379
    socket: str = ""
    database: int = 0
    tls: bool = False
    files: tuple[tuple[str, str], ...] = ()
    """Of `TLS_FILES`, by name."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        if self.socket:
            return self.socket
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_server(text: str) -> Server:
    """Raises `ServerError` for the first thing that is wrong."""
    if not _SHAPE.match(text):
        raise ServerError(EXPECTED)
    scheme = text.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise ServerError(EXPECTED)
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ServerError("is no address", "such as redis://host:6379/0") from None
    if url.fragment:
        raise ServerError("has a # in it", "in a user's name or password it is written %23")
    username, password = unquote(url.username or "") or None, unquote(url.password or "") or None
    given = _parameters(url.query)
    files = tuple((name, given[name]) for name in TLS_FILES if name in given)
    if files and scheme != "rediss":
        raise ServerError(f"{files[0][0]} has no meaning without TLS", "write rediss://")
    if scheme == "unix":
        if url.hostname or not url.path.startswith("/") or url.path == "/":
            raise ServerError("names no Unix socket", "such as unix:///run/redis.sock?db=0")
        return Server(
            socket=unquote(url.path), database=_database(given.get("db", "")), username=username, password=password
        )
    if not url.hostname:
        raise ServerError("names no host", "such as redis://host:6379/0")
    if url.path.strip("/") and "db" in given:
        raise ServerError("names its database twice", "leave ?db= out")
    database = _database(url.path.removeprefix("/") or given.get("db", ""))
    return Server(
        host=url.hostname, port=port or 6379, database=database, tls=scheme == "rediss", files=files,
        username=username, password=password,
    )  # fmt: skip


def _parameters(query: str) -> dict[str, str]:
    given = dict(parse_qsl(query, keep_blank_values=True))
    for name in given:
        if name in ("password", "username", "user"):
            raise ServerError(f"{name} does not belong behind the ?", "write user:password@host, or password_file")
        if name not in PARAMETERS:
            raise ServerError("has an unknown parameter behind the ?", f"known here: {', '.join(PARAMETERS)}")
    return given


def _database(text: str) -> int:
    if not text:
        return 0
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or int(text) >= MOST_DATABASES:
        raise ServerError("names a database that is no number", "such as redis://host:6379/0")
    return int(text)
