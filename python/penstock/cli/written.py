"""Files that a command writes: whole, or as they were before."""

from __future__ import annotations

import contextlib
import errno
import os
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
    but its owner reads it when it is new; what is no file is written as the text comes. Raises OSError.
    """
    if path is None or path == "-":
        with click.open_file("-", "w", encoding="utf-8") as out:
            yield out
    elif _is_written_at_once(path):
        with open(path, "w", encoding="utf-8") as out:
            yield out
    else:
        with _aside(os.path.realpath(path)) as out:
            yield out


def _is_written_at_once(path: str) -> bool:
    """A device, a FIFO, or what is open already."""
    return os.path.abspath(path).startswith(_OPEN_ALREADY) or (os.path.exists(path) and not os.path.isfile(path))


@contextmanager
def _aside(path: str) -> Iterator[IO[str]]:
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    aside = f"{path}.{os.urandom(4).hex()}.part"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
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
