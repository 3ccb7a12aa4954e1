"""Records as JSON lines: to a file that is rotated by size, or to standard output."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Iterator, Sequence
from threading import Event

import msgspec

from penstock.audit.sinks.interface import Object, Sink
from penstock.audit.sinks.rotated import RotatedFile
from penstock.config.model import STDOUT
from penstock.config.model import Sink as Settings

LOOK_MS = 200
"""How often a reader that stalls is looked at, and whether we are to give up."""

_encode = msgspec.json.Encoder().encode


def make(settings: Settings) -> Sink:
    """The one that the path names."""
    if settings.path == STDOUT:
        return Stream(1)
    return Lines(RotatedFile(settings.path, settings.max_bytes, settings.keep))


def encoded(batch: Sequence[Object]) -> list[bytes]:
    """A line each."""
    return [_encode(each) + b"\n" for each in batch]


class Lines:
    """A sink that appends to a file. What it could not write whole it takes away again."""

    def __init__(self, file: RotatedFile) -> None:
        self._file = file

    def take(self, batch: Sequence[Object]) -> None:
        """Raises OSError, LostError; what was rotated away meanwhile stays, and comes twice."""
        self._file.append(encoded(batch))

    def settle(self) -> None:
        """Brings the file to disk. Raises LostError."""
        self._file.sync()

    def close(self) -> None:
        """A disk gives an answer by itself: there is nothing to give up."""


class Stream:
    """A sink that writes to an open descriptor, never part of a line unless a line is longer than 4 KiB."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._closed = Event()
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def take(self, batch: Sequence[Object]) -> None:
        """Waits for a reader that stalls. Raises OSError when it left, or this was closed."""
        for piece in pieces(encoded(batch)):
            written = 0
            while written < len(piece):
                self._wait()
                # A pipe that is writable takes so much at once, and whole (pipe(7)).
                try:
                    written += os.write(self._fd, piece[written : written + select.PIPE_BUF])
                except BlockingIOError:
                    continue

    def settle(self) -> None:
        """Whoever reads has it, or the file that it is: there it is as safe as its user made it."""

    def close(self) -> None:
        """Gives up waiting for the reader."""
        self._closed.set()

    def _wait(self) -> None:
        while not self._closed.is_set():
            if self._poll.poll(LOOK_MS):
                return
        raise OSError(errno.ECANCELED, "nobody read it until the end")


def pieces(lines: Sequence[bytes]) -> Iterator[bytes]:
    """Whole lines, as many as a pipe takes at once; a longer line alone."""
    held: list[bytes] = []
    length = 0
    for line in lines:
        if held and length + len(line) > select.PIPE_BUF:
            yield b"".join(held)
            held, length = [], 0
        held.append(line)
        length += len(line)
    if held:
        yield b"".join(held)
