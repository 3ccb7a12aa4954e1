"""A file of lines that is put aside when it has grown: `x`, `x.1`, `x.2` …, the newest first."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence

from penstock.audit.sinks.interface import LostError

TAIL_BYTES = 1 << 20
"""How far back the beginning of the last line is looked for, and how much of zeros is read at once."""

STARTS = (b'{"started":', b'{"gap":')
"""How lines of ours begin."""


def places(path: str, keep: int) -> list[str]:
    """Where its files stand, the newest first. The next one is made hidden beside it, by a name that nobody else gives:
    what stands there is overwritten."""
    directory, name = os.path.split(path)
    following = os.path.join(directory, f".{name}.penstock-next")
    return [following, path, *(f"{path}.{number}" for number in range(1, keep + 1))]


class RotatedFile:
    """Opened anew for each write, so that others may move it away at any time."""

    def __init__(self, path: str, max_bytes: int, keep: int) -> None:
        self.path = os.path.abspath(path)
        self._places = places(self.path, keep)
        self._next = self._places[0]
        self._max_bytes = max_bytes
        self._left: tuple[int, int] | None = None
        self._unsettled: dict[tuple[int, int], int] = {}
        """Files that may not be on disk yet, by device and inode, wherever they are by now. Of each the first
        descriptor: one that is opened later is not told that the disk failed, if another was told before."""

    def append(self, lines: Sequence[bytes]) -> None:
        """Writes whole lines. Raises OSError, and then the file ends where it did, unless it was rotated meanwhile;
        LostError as `sync` does."""
        at = 0
        try:
            while at < len(lines):
                at += self._append(lines[at:])
        except OSError:
            self.sync()  # whoever makes room on a full disk gets none of files that are still open
            raise

    def sync(self) -> None:
        """Brings to disk what was appended. Raises LostError."""
        unsettled, self._unsettled = self._unsettled, {}
        try:
            with contextlib.ExitStack() as ends:
                for fd in unsettled.values():
                    ends.callback(os.close, fd)
                for fd in unsettled.values():
                    os.fsync(fd)
        except OSError as error:
            raise LostError(error.errno, error.strerror) from error

    def _append(self, lines: Sequence[bytes]) -> int:
        """Writes as many as there is room for, and says how many; none: the file was put aside."""
        fd, size = self._open()
        try:
            self._hold(fd)
            if size and size + len(lines[0]) > self._max_bytes:
                mode = stat.S_IMODE(os.fstat(fd).st_mode)
                self.sync()
                self._rotate(mode)
                return 0
            count, length = 0, 0
            while count < len(lines) and (count == 0 or size + length + len(lines[count]) <= self._max_bytes):
                length += len(lines[count])
                count += 1
            _write(fd, b"".join(lines[:count]), size)
            self._left = (os.fstat(fd).st_ino, size + length)
            return count
        finally:
            os.close(fd)

    def _hold(self, fd: int) -> None:
        """Until it is on disk."""
        facts = os.fstat(fd)
        file = facts.st_dev, facts.st_ino
        if file not in self._unsettled:
            self._unsettled[file] = os.dup(fd)

    def _open(self) -> tuple[int, int]:
        """The file and its size, less a last line that a kill has torn, or a cut of power."""
        if not os.path.lexists(self.path):
            with contextlib.suppress(FileNotFoundError):
                os.replace(self._next, self.path)  # a kill came between the last two moves of `_rotate`
        fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        try:
            facts = os.fstat(fd)
            if not stat.S_ISREG(facts.st_mode):
                raise OSError(f"{self.path} is not a file")
            size = facts.st_size
            if size and self._left != (facts.st_ino, size):
                size = _whole(fd, size)
            return fd, size
        except BaseException:
            os.close(fd)
            raise

    def _rotate(self, mode: int) -> None:
        """Moves each file one place on; the last one goes. The next one, made aside, may be read by whom the last one
        could be."""
        fd = os.open(self._next, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.fchmod(fd, mode)
        finally:
            os.close(fd)
        for older, newer in reversed(list(zip(self._places[1:], self._places, strict=False))):
            with contextlib.suppress(FileNotFoundError):
                os.replace(newer, older)


def _write(fd: int, data: bytes, size: int) -> None:
    """All of it or nothing. Raises OSError."""
    written = 0
    view = memoryview(data)
    try:
        while written < len(data):
            written += os.write(fd, view[written:])
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(fd, size)
        raise


def _whole(fd: int, size: int) -> int:
    """Cuts off the beginning of a line that follows the last whole line, and zeros, if the last line is ours; the size
    then. Raises OSError."""
    end = _before_zeros(fd, size)
    begin = max(0, end - TAIL_BYTES)
    tail = os.pread(fd, end - begin, begin)
    if end == size and tail.endswith(b"\n"):
        return size
    last = tail.rfind(b"\n", 0, max(0, len(tail) - 1)) + 1
    line = tail[last:]
    is_line = last > 0 or begin == 0
    if not is_line or not any(line[: len(start)] == start[: len(line)] for start in STARTS):
        raise OSError("the file ends with what no sink wrote; name another path")
    whole = end if line.endswith(b"\n") else begin + last
    os.ftruncate(fd, whole)
    return whole


def _before_zeros(fd: int, size: int) -> int:
    """The size less the zeros at the end: a cut of power leaves them in the place of what was not on disk yet."""
    while size:
        begin = max(0, size - TAIL_BYTES)
        if held := os.pread(fd, size - begin, begin).rstrip(b"\0"):
            return begin + len(held)
        size = begin
    return 0
