"""Files that a command writes: whole, or as they were before."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import click

from penstock.private_file import sync_directory

_OPEN_ALREADY = ("/dev/fd/", "/dev/std", "/proc/")
"""Names of what the process has open: whoever opened it goes on with it."""


@contextmanager
def written(path: str | None) -> Iterator[IO[str]]:
    """Where text goes: a file, or standard output (`-`, None). A file stands there once all of it is on disk, and none
    but its owner reads it when it is new; what is no file, or stands where no other can be made, is written as the text
    comes. Raises OSError.
    """
    if path is None or path == "-":
        with click.open_file("-", "w", encoding="utf-8") as out:
            yield out
    elif _is_written_at_once(path):
        with open(path, "w", encoding="utf-8") as out:
            yield out
    else:
        with _ended_by_signals(), _aside(os.path.realpath(path)) as out:
            yield out


def _is_written_at_once(path: str) -> bool:
    """A device, a FIFO, what is open already, or a file in a directory that takes no other, or that is mounted."""
    if os.path.abspath(path).startswith(_OPEN_ALREADY):
        return True
    if not os.path.exists(path):
        return False
    whole = os.path.realpath(path)
    return not os.path.isfile(whole) or os.path.ismount(whole) or not os.access(os.path.dirname(whole), os.W_OK)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Who is told to end cleans up first."""

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    ending = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is signal.SIG_DFL]
    for each in ending:
        signal.signal(each, end)
    try:
        yield
    finally:
        for each in ending:
            signal.signal(each, signal.SIG_DFL)


@contextmanager
def _aside(path: str) -> Iterator[IO[str]]:
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    aside = f"{path}.{os.urandom(4).hex()}.part"
    try:
        # Within: a signal may come as soon as it is there.
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as out:
            yield out
            out.flush()
            _take_after(fd, path)
            os.fsync(fd)
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise
    sync_directory(os.path.dirname(path))


def _take_after(fd: int, path: str) -> None:
    """Owner and mode of the file that is there; where they cannot be had, the owner alone reads the new one."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        facts = os.stat(path)
        os.fchown(fd, facts.st_uid, facts.st_gid)
        os.fchmod(fd, stat.S_IMODE(facts.st_mode))
