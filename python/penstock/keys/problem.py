"""Why an administrative operation is refused: every problem at once, each with its field and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

LISTED = 200
"""Problems that are told at once; of those behind them the number."""
HINTS = 20
"""Of one request: to find what may be meant takes milliseconds each, and the loop waits."""


class FieldProblem(NamedTuple):
    """One thing to mend; `field` is as people write it, such as `networks[0]`, or empty for the whole."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class Invalid(Exception):
    """What was asked for is refused whole; `problems` are the first `LISTED`, and how many more there are."""

    def __init__(self, problems: Iterable[FieldProblem]) -> None:
        every = list(problems)
        self.problems, self.count = every[:LISTED], len(every)
        if self.count > LISTED:
            self.problems.append(FieldProblem("", f"{self.count - LISTED} more problems; mend these first"))
        super().__init__("; ".join(map(str, self.problems)))


class NotFound(Exception):
    """There is no such key, team or token."""

    def __init__(self, kind: str, id: str) -> None:
        super().__init__(f"there is no {kind} {id!r}")
        self.kind, self.id = kind, id


class Findings:
    """Problems as they are found, those of reading first; a field that could not be read is not judged further.

    `hints` is how many of them may still say what may be meant.
    """

    def __init__(self, found: Iterable[FieldProblem] = (), hints: int = HINTS) -> None:
        self.problems = list(found)
        self.hints = hints
        self._unread = {problem.field.partition("[")[0].partition(".")[0] for problem in self.problems}

    def add(self, field: str, message: str) -> None:
        """Notes a problem, unless the field was not even read."""
        if field.partition("[")[0].partition(".")[0] not in self._unread:
            self.problems.append(FieldProblem(field, message))

    def raise_any(self) -> None:
        """Raises `Invalid` when there are any."""
        if self.problems:
            raise Invalid(self.problems)
