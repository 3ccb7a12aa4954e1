"""A slow, readable reader of server-sent events and JSON lines: the oracle for what the relay passes on."""

import json
import re
from dataclasses import dataclass
from typing import Any

_LINE = re.compile(rb"\r\n|\r|\n")


def sse_frames(body: bytes) -> tuple[list[bytes], bytes]:
    """Splits a body into whole frames, blank line included, and what is left after the last."""
    frames: list[bytes] = []
    start = line = 0
    for end in _LINE.finditer(body):
        if end.start() == line:
            frames.append(body[start : end.end()])
            start = end.end()
        line = end.end()
    return frames, body[start:]


@dataclass(frozen=True)
class Event:
    """One event as a client understands it."""

    name: str
    data: str

    def json(self) -> Any:
        return json.loads(self.data)


def sse_events(body: bytes) -> list[Event]:
    """What a client gets from a body (WHATWG HTML, section 9.2.6); an unfinished last event is lost."""
    events: list[Event] = []
    for frame in sse_frames(body)[0]:
        name, data = "message", []
        for line in _LINE.split(frame):
            text = line.decode()
            field, _, value = text.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
        if data:
            events.append(Event(name, "\n".join(data)))
    return events


def comments(body: bytes) -> int:
    """How many comment lines a body has."""
    return sum(line.startswith(b":") for line in _LINE.split(body))


def json_lines(body: bytes) -> tuple[list[Any], bytes]:
    """Splits a body into the values of its whole lines and what is left after the last."""
    *lines, rest = body.split(b"\n")
    return [json.loads(line) for line in lines if line.strip()], rest
