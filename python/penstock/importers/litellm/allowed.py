"""Which models a key or team of LiteLLM may use, in names that lead somewhere here. Never more than before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from penstock.config.model import Config
from penstock.importers.litellm.models import fits
from penstock.importers.litellm.notes import Notes, printable
from penstock.providers.catalogue import Catalogue, load_catalogue

TEAMS, EVERY, NONE = "all-team-models", "all-proxy-models", "no-default-models"


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
        return list(kept)

    def _somewhere(self, name: str) -> bool:
        if name not in self._leads:
            self._leads[name] = _is_pattern(name) and (
                self._config is None or leads_somewhere(name, self._config, self._catalogue)
            )
        return self._leads[name]


def _is_pattern(name: str) -> bool:
    return bool(name) and name.isprintable() and " " not in name and len(name) <= 256


def leads_somewhere(pattern: str, config: Config, catalogue: Catalogue) -> bool:
    """Whether some name that fits the pattern can be asked for."""
    known = [*config.models] or [each for name in config.providers for each in _patterns(name, config, catalogue)]
    head, star, _ = pattern.partition("*")
    segment, slash, rest = head.partition("/")
    if not star:
        direct = bool(slash and rest and segment in config.providers)
        return direct or any(fits(name, pattern) if "*" in name else name == pattern for name in known)
    if slash and segment in config.providers:
        return True
    if not slash and any(f"{name}/".startswith(head) for name in config.providers):
        return True
    return any(_overlap(pattern, name) for name in known)


def _patterns(name: str, config: Config, catalogue: Catalogue) -> tuple[str, ...]:
    """What a provider answers to while no models are configured."""
    given = config.providers[name]
    if given.patterns is not None:
        return given.patterns
    kind = catalogue.get(given.kind or name)
    return kind.patterns if kind else ()


def _overlap(pattern: str, name: str) -> bool:
    """Whether a pattern and a model's name (or wildcard) may mean the same name; too often yes rather than no."""
    if "*" not in name and pattern.count("*") == 1:
        return fits(pattern, name)
    mine, theirs = pattern.partition("*")[0], name.partition("*")[0]
    return mine.startswith(theirs) or theirs.startswith(mine)
