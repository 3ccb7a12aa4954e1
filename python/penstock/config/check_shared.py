"""The rules for the Redis that nodes share their limits in; nothing said here repeats a password."""

from __future__ import annotations

import os
import re

from penstock.config.model import Shared, as_written
from penstock.config.problem import Notes, Path, did_you_mean
from penstock.limits.server import SCHEMES, Server, ServerError, parse_server
from penstock.store.password import read_password

_PREFIX = re.compile(r"[!-z|~]{1,64}\Z")


def check(shared: Shared | None, found: Notes) -> None:
    """Notes what is wrong; nothing is connected to."""
    if shared is None:
        return
    place: Path = ("shared", "url")
    server = None
    if not shared.url:
        found.add(place, "is missing", "such as redis://host:6379/0")
    else:
        try:
            server = parse_server(shared.url)
        except ServerError as error:
            found.add(place, str(error), error.hint or did_you_mean(shared.url.partition("://")[0].lower(), SCHEMES))
    if server is not None:
        _files(place, server, found)
    if not _PREFIX.match(shared.prefix):
        found.add(("shared", "prefix"), "expected 1 to 64 ASCII characters without blanks and braces")
    if shared.password_file is not None:
        _password(shared, server, found)


def _files(place: Path, server: Server, found: Notes) -> None:
    for name, path in server.files:
        if not os.access(path, os.R_OK):
            found.add(place, f"the file of {name} cannot be read")


def _password(shared: Shared, server: Server | None, found: Notes) -> None:
    place: Path = ("shared", "password_file")
    if server is not None and server.password:
        found.add(place, "stands beside a password in the URL", "write one of the two")
    try:
        read_password(str(shared.password_file))
    except ValueError as error:
        found.add(place, f"{as_written(str(shared.password_file))} {error}")
