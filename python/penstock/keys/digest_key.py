"""The key under which native digests verified secrets: made at first start, kept in a file only its owner can read."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from typing import NamedTuple

NAME = "digest.key"
BYTES = 32


class DigestKeyError(Exception):
    """The key's file cannot be used; the message says why and what to do."""


class DigestKey(NamedTuple):
    """Where the key is, and which one it is."""

    path: str
    fingerprint: str
    """SHA-256 in hex: digests under another key are worth nothing."""
    warnings: tuple[str, ...]


def load_digest_key(data_dir: str) -> DigestKey:
    """Finds the key, or makes one when there is none. Raises `DigestKeyError`."""
    path = os.path.join(os.path.abspath(data_dir), NAME)
    try:
        if not os.path.lexists(path):
            _make(path)
        return _read(path)
    except OSError as error:
        raise DigestKeyError(f"{path}: {error.strerror}; {_advice(error)}") from None


def _advice(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "make room on the disk, or choose another data_dir"
    return "let this user own and write data_dir and what is in it, or choose another data_dir"


def _make(path: str) -> None:
    """Complete or not there: written aside, then linked; of several starting processes one wins."""
    aside = f"{path}.{os.urandom(8).hex()}"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(os.urandom(BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(aside, path)
        except FileExistsError:
            return
        except OSError as error:
            advice = "put data_dir on a local file system"
            raise DigestKeyError(f"{path}: no hard link can be made there ({error.strerror}); {advice}") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)


def _read(path: str) -> DigestKey:
    warnings = []
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid not in (os.geteuid(), 0):
            raise DigestKeyError(f"{path} is not a file of ours; remove it, and the next start makes a new one")
        if facts.st_mode & 0o077:
            os.fchmod(file.fileno(), 0o600)
            warnings.append(f"{path} could be read by others (mode {facts.st_mode & 0o777:04o}); it is 0600 now")
        key = file.read(BYTES + 1)
    if len(key) != BYTES:
        raise DigestKeyError(f"{path} does not hold {BYTES} bytes; remove it, and the next start makes a new one")
    return DigestKey(path, hashlib.sha256(key).hexdigest(), tuple(warnings))
