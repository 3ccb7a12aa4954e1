"""Which models a key or team of LiteLLM may use, in names that lead somewhere here. Never more than before."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from penstock.config.model import Config
from penstock.importers.litellm.notes import Notes, printable
from penstock.providers.catalogue import Catalogue, load_catalogue

TEAMS, EVERY, NONE = "all-team-models", "all-proxy-models", "no-default-models"
MOST = 500
"""Names that one list may hold."""
MOST_STARS = 3


class Allowed:
    """`config`: what was written, None if it is not known; `groups`: LiteLLM's groups of models and what is in them."""

    def __init__(self, config: Config | None, groups: Mapping[str, list[str]], notes: Notes) -> None:
        self._config = config
        self._groups = groups
        self._notes = notes
        self._catalogue = load_catalogue()
        self._nowhere: Counter[str] = Counter()
        self._leads: dict[str, bool] = {}

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
        if name not in self._leads:
            self._leads[name] = _is_pattern(name) and (
                self._config is None or leads_somewhere(name, self._config, self._catalogue)
            )
        return self._leads[name]


def _is_pattern(name: str) -> bool:
    return bool(name) and name.isprintable() and " " not in name and len(name) <= 256 and name.count("*") <= MOST_STARS


def leads_somewhere(pattern: str, config: Config, catalogue: Catalogue) -> bool:
    """Whether some name that fits the pattern can be asked for; `keys import` refuses lists with names that cannot."""
    known = [*config.models] or [each for name in config.providers for each in _patterns(name, config, catalogue)]
    if any(_meet(pattern, f"{name}/*") for name in config.providers):
        return not pattern.endswith("/")
    return any(_meet(pattern, name) for name in known)


def _patterns(name: str, config: Config, catalogue: Catalogue) -> tuple[str, ...]:
    """What a provider answers to while no models are configured."""
    given = config.providers[name]
    if given.patterns is not None:
        return given.patterns
    kind = catalogue.get(given.kind or name)
    return kind.patterns if kind else ()


def _meet(a: str, b: str) -> bool:
    """Whether two names or patterns may mean the same name; with stars in both, beginnings and ends must agree."""
    if "*" not in a or "*" not in b:
        name, pattern = (a, b) if "*" not in a else (b, a)
        return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None
    heads, tails = (a.partition("*")[0], b.partition("*")[0]), (a.rpartition("*")[2], b.rpartition("*")[2])
    return (heads[0].startswith(heads[1]) or heads[1].startswith(heads[0])) and (
        tails[0].endswith(tails[1]) or tails[1].endswith(tails[0])
    )
