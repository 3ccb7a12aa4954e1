"""What is wrong with a configuration: every problem at once, each with its place and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

Path = tuple[str | int, ...]


class Mark(NamedTuple):
    """A place in a file (line and column count from 1), or the name of an environment variable (line 0)."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


class Problem(NamedTuple):
    """One thing to mend."""

    mark: Mark
    path: Path
    message: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.mark}: {dotted(self.path)}: " if self.path else f"{self.mark}: "
        return f"{where}{self.message}" + (f" ({self.hint})" if self.hint else "")

    def plain(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "file": self.mark.source,
            "line": self.mark.line,
            "column": self.mark.column,
            "field": dotted(self.path),
            "message": self.message,
            "hint": self.hint,
        }


class ConfigError(Exception):
    """A configuration that is refused whole."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Notes(Protocol):
    """Where problems go."""

    def add(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> None: ...


def dotted(path: Path) -> str:
    """The path as people write it: `models.fast.targets[0].provider`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def did_you_mean(wrong: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """A hint that names the closest known word, or all of them when they are few."""
    from difflib import get_close_matches  # only when something is wrong

    names = list(known)
    if close := get_close_matches(wrong, names, n=1, cutoff=likeness):
        return f"did you mean {close[0]!r}?"
    return f"known here: {', '.join(names)}" if 0 < len(names) <= 20 else ""
