"""What was not carried over, or changed on the way: path, reason and what to do, for people and programs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import NamedTuple

LINES = 600
"""At most so many lines of comments stand at the top of the written file; `--json` always has every note."""
MOST_TEXT = 4000
"""Characters of one reason; a command with all the models of a team may be long."""
PATHS = 12
"""At most so many paths are named for one reason."""


class Note(NamedTuple):
    """One thing to know. `path`: where it stands in the LiteLLM file; `reason`: why, and what to do."""

    path: str
    reason: str


class Notes:
    """Collects notes; the same one is kept once. No note holds a value that may be secret."""

    def __init__(self) -> None:
        self._seen: dict[Note, None] = {}

    def add(self, path: str, reason: str) -> None:
        """Both are made printable: names come from foreign files and end in comments and on terminals."""
        self._seen.setdefault(Note(printable(path, 300), printable(reason, MOST_TEXT)))

    def __iter__(self) -> Iterator[Note]:
        return iter(self._seen)

    def __len__(self) -> int:
        return len(self._seen)


def printable(text: str, most: int = 80) -> str:
    """The text without line breaks and control characters, cut short."""
    clean = "".join(c if c.isprintable() else "�" for c in text[: most + 1])
    return clean if len(clean) <= most else clean[: most - 1] + "…"


def lines(notes: Iterable[Note], width: int = 118) -> list[str]:
    """The notes for people, equal reasons together: the paths, then what about them."""
    by_reason: dict[str, list[str]] = {}
    for note in notes:
        by_reason.setdefault(note.reason, []).append(note.path)
    written: list[str] = []
    for reason, paths in by_reason.items():
        named = ", ".join(paths[:PATHS]) + (f" and {len(paths) - PATHS} more" if len(paths) > PATHS else "")
        written += textwrap.wrap(
            f"- {named}: {reason}", width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
    if len(written) > LINES:
        written[LINES:] = [f"… and {len(written) - LINES} lines more: run the command with --json to see everything"]
    return written
