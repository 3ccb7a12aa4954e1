"""The rules for the Redis that nodes share their limits in; nothing said here repeats a password."""

from __future__ import annotations

import os
import re

from penstock.config import check_password
from penstock.config.model import Shared
from penstock.config.problem import Notes, Path, did_you_mean
from penstock.limits.server import SCHEMES, Server, ServerError, parse_server

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
    check_password.check("shared", shared.password_file, server is not None and bool(server.password), found)


def _files(place: Path, server: Server, found: Notes) -> None:
    for name, path in server.files:
        if not os.access(path, os.R_OK):
            found.add(place, f"the file of {name} cannot be read")
