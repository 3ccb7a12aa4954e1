"""The rule for a password in a file of its own; nothing said here repeats one."""

from __future__ import annotations

from penstock.config.model import as_written
from penstock.config.problem import Notes, Path
from penstock.password_file import read_password


def check(section: str, file: str | None, in_url: bool, found: Notes) -> None:
    """Notes what is wrong with `password_file` of a section; `in_url`: its URL has a password too."""
    if file is None:
        return
    place: Path = (section, "password_file")
    if in_url:
        found.add(place, "stands beside a password in the URL", "write one of the two")
    try:
        read_password(file)
    except ValueError as error:
        found.add(place, f"{as_written(file)} {error}")
