"""What is asked of Redis: scripts, calls of them, and what comes of a call."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class AwayError(Exception):
    """Redis does not answer, or answers that it cannot serve; the message says how."""


class Script:
    """A function that runs in Redis whole or not at all; a file beside this one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = (Path(__file__).parent / name).read_bytes()
        self.sha = hashlib.sha1(self.text, usedforsecurity=False).hexdigest()

    def __repr__(self) -> str:
        return f"Script({self.name!r})"


class Call(NamedTuple):
    """One call of a script."""

    keys: tuple[str, ...]
    arguments: tuple[str, ...] = ()


class Refused(NamedTuple):
    """Redis ran into an error with this one call."""

    why: str


Reply = Any
"""What a script returned, numbers, bytes or a list of them; or the `Refused` that came in its place."""


class Runner(Protocol):
    """Who brings calls to Redis."""

    async def run(self, script: Script, calls: Sequence[Call], seconds: float) -> list[Reply]:
        """The replies in the order of the calls. Raises `AwayError`; then any of the calls may have been made."""

    async def forget(self) -> None:
        """Closes connections that nobody uses now: after an outage they may be dead without a word."""
