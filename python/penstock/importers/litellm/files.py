"""Reads foreign files within bounds, and writes new ones whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets

from penstock.config.problem import ConfigError, Mark, Problem


class WriteError(Exception):
    """The file was not written; the message says why and what to do."""


def refused(file: str, message: str, hint: str = "", line: int = 0, column: int = 0) -> ConfigError:
    """One problem of one file, to be raised."""
    return ConfigError([Problem(Mark(file, line, column), (), message, hint)])


def read(file: str, most: int) -> str:
    """The text of a file of at most `most` bytes. Raises `ConfigError`, for wrong UTF-8 with line and column."""
    try:
        with open(file, "rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise refused(file, f"cannot be read: {error.strerror}") from None
    if len(content) > most:
        raise refused(file, f"is larger than {most >> 20} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].rpartition(b"\n")
        line, column = before[0].count(b"\n") + 1 + bool(before[1]), len(before[2]) + 1
        raise refused(file, "not UTF-8", line=line, column=column) from None


def must_be_new(file: str, force: bool) -> None:
    """Raises `WriteError` if something is there that may not be replaced."""
    if not force and os.path.lexists(file):
        raise WriteError(f"{file} is there already: name another file, or write --force to replace it")


def write(file: str, text: str, force: bool, mode: int = 0o600) -> None:
    """Writes aside, then renames (or links, where nothing may be replaced). Raises `WriteError`."""
    must_be_new(file, force)
    aside = f"{file}.{secrets.token_hex(4)}"
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        if force:
            os.replace(aside, file)
        else:
            os.link(aside, file)  # fails if somebody wrote it meanwhile
    except FileExistsError:
        raise WriteError(f"{file} is there already: name another file, or write --force to replace it") from None
    except OSError as error:
        raise WriteError(f"{file} cannot be written: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            os.unlink(aside)
