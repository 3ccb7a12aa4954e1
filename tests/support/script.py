"""The words of an upstream's script: bytes, delays, waits and cuts."""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal


@dataclass(frozen=True)
class Send:
    """Writes these bytes; waits while the peer does not read."""

    data: bytes


@dataclass(frozen=True)
class Pause:
    """Says nothing for a while."""

    seconds: float


@dataclass(frozen=True)
class WaitFor:
    """Goes on when the test says so."""

    event: threading.Event


@dataclass(frozen=True)
class Cut:
    """Ends the connection here: a reset, or a plain FIN."""

    how: Literal["reset", "fin"] = "fin"


@dataclass(frozen=True)
class Hold:
    """Says nothing more until the peer leaves."""


Step = Send | Pause | WaitFor | Cut | Hold
Script = Sequence[Step]

SSE = "text/event-stream"
NDJSON = "application/x-ndjson"


def head(status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """An answer's head, with just these headers."""
    reason = HTTPStatus(status).phrase if status in list(HTTPStatus) else "Status"
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    return f"HTTP/1.1 {status} {reason}\r\n{lines}\r\n".encode()


def whole(body: bytes, status: int = 200, kind: str = "application/json", **headers: str) -> list[Step]:
    """An answer with a length. Header names are given with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return [Send(head(status, {"content-type": kind, "content-length": str(len(body)), **named}) + body)]


def answer(value: Any, status: int = 200, **headers: str) -> list[Step]:
    """A JSON answer."""
    return whole(json.dumps(value).encode(), status, **headers)


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST = b"0\r\n\r\n"


def stream_head(kind: str = SSE, **headers: str) -> Send:
    """The head of a chunked stream."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Send(head(200, {"content-type": kind, "transfer-encoding": "chunked", **named}))


def stream(pieces: Sequence[bytes], kind: str = SSE, gap: float = 0.0, **headers: str) -> list[Step]:
    """A whole chunked stream, one chunk a piece, with `gap` seconds before each but the first."""
    steps: list[Step] = [stream_head(kind, **headers)]
    for number, piece in enumerate(pieces):
        if number and gap:
            steps.append(Pause(gap))
        steps.append(Send(chunk(piece)))
    return [*steps, Send(LAST)]


def joined(script: Script) -> bytes:
    """All bytes a script sends, as one."""
    return b"".join(step.data for step in script if isinstance(step, Send))
