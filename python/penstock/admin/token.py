"""The admin token: made at first start, kept in a file that only its owner can read."""

from __future__ import annotations

import base64
import os

from penstock import private_file
from penstock.private_file import PrivateFileError

NAME = "admin.token"
MAX_BYTES = 4096


class TokenError(PrivateFileError):
    """A file gives no token; the message says why."""


def load_token(data_dir: str) -> tuple[str, list[str]]:
    """The token and what to warn of; makes the file when there is none. Raises `PrivateFileError`."""
    path = os.path.join(data_dir, NAME)
    content, warnings = private_file.load(path, _new, MAX_BYTES)
    token = content.decode("ascii", "replace").strip()
    if not 16 <= len(token) <= MAX_BYTES or not token.isprintable():
        raise TokenError(f"{path} holds no token; remove it, and the next start makes a new one")
    if warnings:
        warnings.append("whoever read the admin token still has it: remove the file and restart for a new one")
    return token, warnings


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


def _new() -> bytes:
    return b"pen-admin-" + base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=") + b"\n"
