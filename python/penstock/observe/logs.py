"""Log lines of the Python side: one write on standard error each, with the fields that native's lines have."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import select
import time
from collections.abc import Callable
from typing import Literal

import msgspec

LEVELS = ("error", "warning", "info", "debug")
Format = Literal["json", "text"]
_SECRET = re.compile(
    r"(?i)\b(sk-[a-z0-9_-]{2})[a-z0-9_-]{6,}"  # keys of OpenAI, Anthropic, OpenRouter and of our own
    r"|\b((?:bearer|basic)\s+)[a-z0-9._~+/=-]{6,}"
    r"|\b((?:x-)?api[-_]key[\"']?\s*[:=]\s*[\"']?)[^\s\"',;&]+"
    r"|(://)[^\s/@]+@"
)
_encode = msgspec.json.Encoder(enc_hook=str).encode


def hide_secrets(text: str) -> str:
    """The text with whatever looks like a credential cut out."""
    return _SECRET.sub(lambda found: "".join(group or "" for group in found.groups()) + "********", text)


def format_of(wanted: Literal["auto", "json", "text"]) -> Format:
    """The format in force: `auto` is text for people at a terminal, JSON for everything else."""
    if wanted == "auto":
        return "text" if os.isatty(2) else "json"
    return wanted


def to_stderr(line: bytes) -> int:
    """Writes a line and never waits; how much of it was written. A reader that stalls or left costs the line."""
    poll = select.poll()
    poll.register(2, select.POLLOUT)
    written = 0
    with contextlib.suppress(OSError):
        while written < len(line) and poll.poll(0):
            # A pipe that is writable has room for this much; more could wait for the reader.
            written += os.write(2, line[written : written + select.PIPE_BUF])
    return written


class Log:
    """Where lines go and which of them; level and format may change with every reload."""

    def __init__(
        self,
        level: str = "info",
        form: Format = "json",
        write: Callable[[bytes], int | None] = to_stderr,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._write, self._now = write, now
        self._dropped, self._torn = 0, b""
        self.set(level, form)

    def set(self, level: str, form: Format) -> None:
        """Takes over new options."""
        self._most = LEVELS.index("warning" if level == "warn" else level)
        self._json = form == "json"

    def error(self, message: str, **fields: object) -> None:
        """Something failed that was asked for."""
        self.line("error", message, fields)

    def warning(self, message: str, **fields: object) -> None:
        """Something will go wrong unless someone looks."""
        self.line("warning", message, fields)

    def info(self, message: str, **fields: object) -> None:
        """A milestone in the life of the process."""
        self.line("info", message, fields)

    def debug(self, message: str, **fields: object) -> None:
        """For those who look closely."""
        self.line("debug", message, fields)

    def line(self, level: str, message: str, fields: dict[str, object]) -> None:
        """Writes a line if the level asks for it; secrets are cut out of every text in it."""
        if LEVELS.index(level) > self._most:
            return
        clean = {name: _clean(value) for name, value in fields.items()}
        if self._dropped:
            clean["lines_dropped"] = self._dropped  # those that standard error did not take since the last one
        line = self._torn + self._formed(level, message, clean)
        written = self._write(line)
        if written is None or written == len(line):
            self._dropped, self._torn = 0, b""
        else:
            self._dropped += 1
            self._torn = b"\n" if written else self._torn  # the next line does not begin within this one

    def _formed(self, level: str, message: str, clean: dict[str, object]) -> bytes:
        stamp = _timestamp(self._now())
        if self._json:
            head = {"ts": stamp, "level": level, "message": hide_secrets(message), "component": "python"}
            return _encode(head | clean) + b"\n"
        tail = "".join(f" {name}={_plain(value)}" for name, value in clean.items())
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in hide_secrets(message))
        return f"{stamp} {level:<7} python: {text}{tail}\n".encode(errors="replace")


class Forward(logging.Handler):
    """Brings what libraries log (asyncio's lost exceptions, say) into our own lines."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, object] = {"logger": record.name}
        if record.exc_info and record.exc_info[1]:
            fields["error"] = repr(record.exc_info[1])
            where = record.exc_info[2]
            while where and where.tb_next:
                where = where.tb_next
            if where:
                fields["at"] = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}"
        level = "error" if record.levelno >= logging.ERROR else "warning"
        self._log.line(level, record.getMessage().partition("\n")[0], fields)


def _clean(value: object) -> object:
    if isinstance(value, str):
        return hide_secrets(value)
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value if isinstance(value, int | float | None) else hide_secrets(str(value))


def _plain(value: object) -> str:
    if isinstance(value, str) and value and value.isascii() and value.isprintable() and not set(value) & set(' "='):
        return value
    return _encode(value).decode()


def _timestamp(now: float) -> str:
    whole = int(now)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{int((now - whole) * 1_000_000):06d}Z"
