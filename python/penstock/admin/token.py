"""The admin token: made at first start, kept in a file that only its owner can read."""

from __future__ import annotations

import base64
import contextlib
import errno
import os
import stat

NAME = "admin.token"
MAX_BYTES = 4096


class TokenError(Exception):
    """The token's file cannot be used; the message says why and what to do."""


def load_token(data_dir: str) -> tuple[str, list[str]]:
    """The token and what to warn of; makes the file when there is none. Raises `TokenError`."""
    path = os.path.join(data_dir, NAME)
    try:
        if not os.path.lexists(path):
            _make(path)
        return _read(path)
    except OSError as error:
        raise TokenError(f"{path}: {error.strerror}; {_advice(error)}") from None


def _advice(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "make room on the disk, or choose another data_dir"
    return "let this user own and write data_dir and what is in it, or choose another data_dir"


def presented(authorization: str | None) -> str | None:
    """The token that a header carries; None where it has none of the scheme Bearer."""
    scheme, _, given = (authorization or "").partition(" ")
    return given.strip() or None if scheme.lower() == "bearer" else None


def read_token(path: str) -> str:
    """The token in a file, for whoever calls a running process. Raises `TokenError`."""
    try:
        with open(path, "rb") as file:
            token = file.read(MAX_BYTES).decode("ascii", "replace").strip()
    except OSError as error:
        raise TokenError(f"{path} cannot be read: {error.strerror}") from None
    if not token or not token.isprintable() or not token.isascii():
        raise TokenError(f"{path} holds no token")
    return token


def _make(path: str) -> None:
    """Complete or not there: written aside, then linked; of several starting processes one wins."""
    aside = f"{path}.{os.urandom(8).hex()}"
    token = base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=")
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(b"pen-admin-" + token + b"\n")
            file.flush()
            _to_disk(file.fileno(), path)
        try:
            os.link(aside, path)
        except FileExistsError:
            return
        except OSError as error:
            advice = "put data_dir on a local file system"
            raise TokenError(f"{path}: no hard link can be made there ({error.strerror}); {advice}") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)


def _to_disk(fd: int, path: str) -> None:
    try:
        os.fsync(fd)
    except OSError as error:
        advice = "look at the disk below data_dir"
        raise TokenError(f"{path} could not be brought to disk ({error.strerror}); {advice}") from None


def _read(path: str) -> tuple[str, list[str]]:
    warnings = []
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid not in (os.geteuid(), 0):
            raise TokenError(f"{path} is not a file of ours; remove it, and the next start makes a new one")
        if facts.st_mode & 0o077:
            os.fchmod(file.fileno(), 0o600)
            warnings.append(f"{path} could be read by others (mode {facts.st_mode & 0o777:04o}); it is 0600 now")
            warnings.append("whoever read the admin token still has it: remove the file and restart for a new one")
        token = file.read(MAX_BYTES).decode("ascii", "replace").strip()
    if len(token) < 16 or not token.isprintable():
        raise TokenError(f"{path} holds no token; remove it, and the next start makes a new one")
    return token, warnings
