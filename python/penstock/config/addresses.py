"""Addresses to listen on and base addresses of providers, taken apart strictly."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

MAX_UNIX_PATH_BYTES = 107  # sun_path of unix(7), less its NUL
_URL = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?(/[!-~]*)?\Z", re.ASCII)


class Listen(NamedTuple):
    """One address: TCP (host without brackets, port; 0: any free one) or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def is_private(self) -> bool:
        """Only this machine can reach it."""
        return bool(self.path) or ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Url(NamedTuple):
    """A base address; the path is without its last slash."""

    scheme: str
    host: str
    port: int
    path: str


def parse_listen(text: str) -> Listen:
    """`127.0.0.1:4000`, `[::1]:4000`, `localhost:4000` or `unix:/path`. Raises ValueError saying what to write."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/"):
            raise ValueError("a Unix socket needs an absolute path, such as unix:/run/penstock.sock")
        if len(path.encode()) > MAX_UNIX_PATH_BYTES:
            raise ValueError(f"the path of a Unix socket has at most {MAX_UNIX_PATH_BYTES} bytes")
        return Listen(path=path)
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535:
        raise ValueError("expected host:port or unix:/path, such as 127.0.0.1:4000")
    if host in ("", "*"):
        raise ValueError(f"which host? Write 127.0.0.1:{port} for this machine, 0.0.0.0:{port} for every IPv4 address")
    if host == "localhost":
        return Listen("127.0.0.1", int(port))
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        raise ValueError("expected an IP address before the port, or localhost") from None
    if address.version == 6 and bare == host:
        raise ValueError(f"an IPv6 address stands in brackets: [{host}]:{port}")
    return Listen(str(address), int(port))


def parse_url(text: str) -> Url:
    """A provider's base address. Raises ValueError; its message never repeats the text, which may hold a password."""
    scheme, separator, rest = text.partition("://")
    if separator and "@" in rest.partition("/")[0]:
        raise ValueError("credentials do not belong into an address; use api_key or headers")
    if "?" in text or "#" in text:
        raise ValueError("an address has no query or fragment here; use the field query")
    found = _URL.match(text)
    if not found or (found[3] and not 0 < int(found[3]) <= 65_535):
        raise ValueError("expected http://host:port/path or https://host/path")
    scheme, host = found[1], found[2].strip("[]").lower()
    if ":" in host:
        host = str(ipaddress.IPv6Address(host))
    return Url(scheme, host, int(found[3] or (443 if scheme == "https" else 80)), (found[4] or "").rstrip("/"))
