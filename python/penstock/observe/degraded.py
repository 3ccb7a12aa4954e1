"""What readiness names as degraded: one list of what several parts of the process say."""

from __future__ import annotations

from collections.abc import Callable


class Degraded:
    """`tell` hears the whole list whenever a part says something new."""

    def __init__(self, tell: Callable[[list[str]], None]) -> None:
        self._tell = tell
        self._parts: dict[str, list[str]] = {}

    def part(self, name: str) -> Callable[[list[str]], None]:
        """What that part calls with its own reasons, an empty list if all is well with it."""
        self._parts[name] = []

        def say(reasons: list[str]) -> None:
            self._parts[name] = reasons
            self._tell([reason for part in self._parts.values() for reason in part])

        return say
