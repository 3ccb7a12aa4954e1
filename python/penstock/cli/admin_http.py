"""The admin API of a running process over HTTP: TCP, a Unix socket, or TLS in front of it."""

from __future__ import annotations

import http.client
import re
import socket
import time
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from penstock.config.addresses import Listen, parse_listen

CONNECT_S = 5.0
ANSWER_S = 60.0
"""Longer than the process takes to give up by itself."""

AGAIN, MOST_PAUSE_S = 5, 10.0
"""So often a question is asked again that was to come later, and so long it waits for that at most."""
SLOW_S = 5.0
"""What was refused after so long asks for too much, and would again."""
MAX_BYTES = 64 << 20
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_HEADER = re.compile(r"[!-~]+\Z")


class CallError(Exception):
    """The call came to nothing; the message says why and what to do."""


class NobodyListensError(CallError):
    """No process accepts connections at the address."""


class Transport(Protocol):
    """One way to the admin API."""

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and decoded body of the answer; the body is None when there is none. Raises `CallError`."""

    def close(self) -> None:
        """Lets go of what is open."""


class _Unix(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=CONNECT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class HttpTransport:
    """One connection, opened at once."""

    def __init__(self, place: str, connection: http.client.HTTPConnection, token: str) -> None:
        """Raises `NobodyListensError` or `CallError`."""
        if not _HEADER.match(token):
            raise CallError("the admin token holds a blank or a character that no header can carry")
        self._place, self._connection, self._token = place, connection, token
        try:
            connection.connect()
        except (ConnectionRefusedError, FileNotFoundError):
            connection.close()
            raise NobodyListensError(f"nothing listens on {place}") from None
        except OSError as error:
            connection.close()
            raise CallError(f"{place} cannot be reached: {error.strerror or error}") from None
        connection.timeout = ANSWER_S  # of a connection that is opened again as well
        connection.sock.settimeout(ANSWER_S)

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """See `Transport`. What only asks is asked again where too many ask: an export is many questions."""
        for _ in range(AGAIN if method == "GET" else 0):
            began = time.monotonic()
            status, answer, again_s = self._once(method, path, body)
            is_told = status == 503 and isinstance(answer, dict) and answer.get("code") == "overloaded"
            if not is_told or again_s is None or time.monotonic() > began + SLOW_S:
                return status, answer
            time.sleep(min(again_s, MOST_PAUSE_S))
        return self._once(method, path, body)[:2]

    def _once(self, method: str, path: str, body: Any) -> tuple[int, Any, int | None]:
        """The last one: after how many seconds to come again."""
        headers = {"authorization": f"Bearer {self._token}", "accept": "application/json"}
        content = None
        if body is not None:
            content = msgspec.json.encode(body)
            headers["content-type"] = "application/json"
        try:
            self._connection.request(method, path, content, headers)
            answer = self._connection.getresponse()
            raw = answer.read(MAX_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            done = "" if method == "GET" else "; it cannot be told whether it was done: look before you try again"
            raise CallError(f"{self._place} did not answer: {reason}{done}") from None
        again = answer.getheader("retry-after") or ""
        return answer.status, self._decoded(answer, raw), int(again) if again.isdecimal() and len(again) < 10 else None

    def close(self) -> None:
        """See `Transport`."""
        self._connection.close()

    def _decoded(self, answer: http.client.HTTPResponse, raw: bytes) -> Any:
        if not raw:
            return None
        try:
            if len(raw) > MAX_BYTES or "json" not in (answer.getheader("content-type") or ""):
                raise ValueError
            return msgspec.json.decode(raw)
        except (ValueError, RecursionError):
            advice = "is it the admin port of a Penstock?"
            raise CallError(f"{self._place} answered {answer.status}, and not with JSON: {advice}") from None


def to_listener(address: str, token: str) -> HttpTransport:
    """To an address as `admin.listen` has it. Raises ValueError, `CallError`."""
    return HttpTransport(address, _connection(parse_listen(address)), token)


def to_url(url: str, token: str) -> HttpTransport:
    """To `http://host:port`, `https://host` or `unix:/path`. Raises ValueError, `CallError`."""
    if url.startswith("unix:"):
        return to_listener(url, token)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.rstrip("/") or parts.query:
        raise ValueError("expected http://host:port, https://host or unix:/path, without a path behind it")
    if parts.username or parts.password:
        raise ValueError("the token goes into --token-file, not into the address")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return HttpTransport(url.rstrip("/"), kind(parts.hostname, parts.port, timeout=CONNECT_S), token)


def _connection(address: Listen) -> http.client.HTTPConnection:
    if address.path:
        return _Unix(address.path)
    return http.client.HTTPConnection(_ANY.get(address.host, address.host), address.port, timeout=CONNECT_S)
