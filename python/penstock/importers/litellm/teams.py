"""Teams that imported keys belong to, and how to make them first."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from penstock.importers.litellm import dump, limits
from penstock.importers.litellm.allowed import Allowed
from penstock.importers.litellm.dump import Row
from penstock.importers.litellm.names import Names
from penstock.importers.litellm.notes import MOST_TEXT, Notes, printable

DASHBOARD = "litellm-dashboard"
"""The team of the keys that LiteLLM's user interface makes for one session."""

_LATER = ("soft_budget", "budget_limits")
"""Columns that say something about limits which is not carried over."""


class Team(NamedTuple):
    """`models` None: all; `known`: whether LiteLLM's table of teams said so."""

    name: str
    models: list[str] | None
    blocked: bool = False
    known: bool = False
    limits: Mapping[str, str | int] = MappingProxyType({})


class Teams:
    """By LiteLLM's id. Without the table of teams the id is the name, and nothing else is known."""

    def __init__(self, rows: Iterable[Row], allowed: Allowed, notes: Notes) -> None:
        self._found: dict[str, Team] = {}
        self._used: dict[str, None] = {}
        self._names = Names()
        self._notes = notes
        limited: list[str] = []
        for row in rows:
            id = dump.word(row.cells.get("team_id"))
            if id is None or id in self._found or id == DASHBOARD:
                continue
            name = self._names.take(dump.word(row.cells.get("team_alias")) or id)
            path = f"teams: {name}"
            try:
                models = allowed.of_team(dump.words(row.cells.get("models")), path)
            except ValueError as error:
                notes.add(
                    path, f"its models cannot be read ({error}), so it is allowed none: change the team afterwards"
                )
                models = []
            blocked = dump.flag(row.cells.get("blocked"))
            pool, wrong = limits.of_row(row.cells)
            for column in wrong:
                notes.add(f"{path}: {column}", limits.LEFT_OUT[column])
            self._found[id] = Team(name, models, blocked, known=True, limits=pool)
            limited += [name] if any(dump.says_something(row.cells.get(column)) for column in _LATER) else []
        if limited:
            notes.add(
                _some("teams with limits", limited),
                f"{' and '.join(_LATER)} have no equivalent: other limits than these were carried over",
            )

    def of(self, id: str) -> Team:
        """The team of a key; one that is asked for is used."""
        if id not in self._found:
            self._found[id] = Team(self._names.take(id), None)
        self._used[id] = None
        return self._found[id]

    def used(self) -> Iterator[Team]:
        """Those that must be there before the keys are imported."""
        for id in self._used:
            team = self._found[id]
            if not team.blocked:
                yield team

    def note(self) -> None:
        """Says how to make each."""
        for team in self.used():
            reason = f"make it before the keys are imported: {command(team)}"
            if len(reason) > MOST_TEXT:
                few = command(team._replace(models=None))
                reason = f"make it before the keys are imported: {few}, and --model for each that --json lists"
            if not team.known:
                reason += (
                    " — which models it may use is not in the table of keys, nor are its limits: "
                    "without --teams it may use all of them"
                )
            self._notes.add(f"teams: {team.name}", reason)


def command(team: Team) -> str:
    """The command that makes a team."""
    line = f"penstock teams create --name {shlex.quote(printable(team.name))}"
    line += "".join(f" --limit {shlex.quote(limit)}" for limit in limits.options(team.limits))
    return line + "".join(f" --model {shlex.quote(model)}" for model in team.models or ())


def _some(what: str, names: list[str], most: int = 5) -> str:
    """`keys: a, b and 7 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{what}: {', '.join(names[:most])}{more}"
