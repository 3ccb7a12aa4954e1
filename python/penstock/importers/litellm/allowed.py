"""Which models a key or team of LiteLLM may use, in names that lead somewhere here. Never more than before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from penstock.importers.litellm.notes import Notes, printable
from penstock.policy.names import Names

TEAMS, EVERY, NONE = "all-team-models", "all-proxy-models", "no-default-models"
MOST = 500
"""Names that one list may hold."""
MOST_STARS = 3


class Allowed:
    """`names`: what the written configuration routes, None if it is not known; `groups`: LiteLLM's groups of models."""

    def __init__(self, names: Names | None, groups: Mapping[str, list[str]], notes: Notes) -> None:
        self._names = names
        self._groups = groups
        self._notes = notes
        self._nowhere: Counter[str] = Counter()

    def of_key(self, listed: Iterable[str], has_team: bool, path: str) -> list[str] | None:
        """None: all (that the team may use)."""
        names = list(dict.fromkeys(listed))
        if TEAMS in names:
            if has_team:
                return None
            self._notes.add(
                path, "its models are those of its team, but it has none, so it may use none, as in LiteLLM"
            )
            return []
        return self._of(names, path)

    def of_team(self, listed: Iterable[str], path: str) -> list[str] | None:
        """None: all."""
        return self._of(list(dict.fromkeys(listed)), path)

    def note(self) -> None:
        """Says which names were taken out of lists."""
        for name, count in self._nowhere.items():
            reason = (
                f"leads nowhere in the written configuration, so it is taken out of the lists of {count} keys and teams"
            )
            self._notes.add(f"models of keys: {printable(name)}", reason)

    def _of(self, names: list[str], path: str) -> list[str] | None:
        if not names or EVERY in names or "*" in names:
            return None
        kept: dict[str, None] = {}
        for name in names:
            if name == NONE:
                continue
            for each in self._groups.get(name, [name]):
                if self._somewhere(each):
                    kept[each] = None
                else:
                    self._nowhere[each] += 1
        if not kept:
            why = "as in LiteLLM" if names == [NONE] else "because none of those it was allowed is there"
            self._notes.add(path, f"may use no model, {why}")
        if len(kept) > MOST:
            self._notes.add(
                path, f"may use more than {MOST} models by name; only the first {MOST} are written: use patterns"
            )
        return list(kept)[:MOST]

    def _somewhere(self, name: str) -> bool:
        """`keys import` refuses lists with names that lead nowhere."""
        return _is_pattern(name) and (self._names is None or self._names.leads(name))


def _is_pattern(name: str) -> bool:
    return bool(name) and name.isprintable() and " " not in name and len(name) <= 256 and name.count("*") <= MOST_STARS
