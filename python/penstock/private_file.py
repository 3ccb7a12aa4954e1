"""Files in `data_dir` that only their owner may read: made whole or not at all, never through a link."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable


class PrivateFileError(Exception):
    """The file cannot be used; the message says why and what to do."""


def load(path: str, make: Callable[[], bytes], most: int) -> tuple[bytes, list[str]]:
    """What the file holds, no more than one byte beyond `most`, and what to warn of.

    Where there is none it is made, of what `make` gives. Raises `PrivateFileError`.
    """
    try:
        if not os.path.lexists(path):
            _make(path, make())
        return _read(path, most)
    except OSError as error:
        raise PrivateFileError(f"{path}: {error.strerror}; {_advice(error)}") from None


def tighten(fd: int, path: str) -> list[str]:
    """Takes away what others may do with an open file; what to warn of."""
    mode = stat.S_IMODE(os.fstat(fd).st_mode)
    if not mode & 0o077:
        return []
    os.fchmod(fd, 0o600)
    return [f"{path} could be read by others (mode {mode:04o}); it is 0600 now"]


def sync_directory(path: str) -> None:
    """Brings to disk which files a directory has. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _advice(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "make room on the disk, or choose another data_dir"
    return "let this user own and write data_dir and what is in it, or choose another data_dir"


def _make(path: str, content: bytes) -> None:
    """Complete or not there: written aside, then linked; of several starting processes one wins."""
    aside = f"{path}.{os.urandom(8).hex()}"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            _to_disk(file.fileno(), path)
        try:
            os.link(aside, path)
        except FileExistsError:
            return
        except OSError as error:
            advice = "put data_dir on a local file system"
            raise PrivateFileError(f"{path}: no hard link can be made there ({error.strerror}); {advice}") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)


def _to_disk(fd: int, path: str) -> None:
    try:
        os.fsync(fd)
    except OSError as error:
        advice = "look at the disk below data_dir"
        raise PrivateFileError(f"{path} could not be brought to disk ({error.strerror}); {advice}") from None


def _read(path: str, most: int) -> tuple[bytes, list[str]]:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid not in (os.geteuid(), 0):
            raise PrivateFileError(f"{path} is not a file of ours; remove it, and the next start makes a new one")
        warnings = tighten(file.fileno(), path)
        return file.read(most + 1), warnings
