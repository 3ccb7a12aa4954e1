"""Which names of models lead somewhere: whether a name or pattern in a key's list can ever allow anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from penstock.config.model import Config
from penstock.config.problem import did_you_mean
from penstock.policy.routes import compile_patterns
from penstock.providers.catalogue import Catalogue
from penstock.providers.resolve import resolve

REMEMBERED = 4096
"""Answers kept: an import asks the same few names for every key."""


class Names:
    """What the configuration in force routes; a reload exchanges it."""

    def __init__(self, config: Config, catalogue: Catalogue, environ: Mapping[str, str]) -> None:
        self.use(config, catalogue, environ)

    def use(self, config: Config, catalogue: Catalogue, environ: Mapping[str, str]) -> None:
        """Goes by this checked configuration from now on."""
        upstreams = {name: resolve(name, given, catalogue, environ) for name, given in config.providers.items()}
        offered = (*config.models, *(each.pattern for each in compile_patterns(config, upstreams)))
        self._providers = tuple(config.providers)
        self._exact = frozenset(name for name in offered if "*" not in name)
        self._wide = tuple(name for name in offered if "*" in name)
        self._answers: dict[str, bool] = {}

    def problem(self, pattern: str, hint: bool = True) -> str | None:
        """Why a name or `*` pattern can match nothing that is routed; None if it can.

        With `hint` what may be meant is added: milliseconds where many models are configured.
        """
        if self.leads(pattern):
            return None
        meant = self._meant(pattern) if hint else ""
        return f"{pattern!r} leads to no model" + (f" ({meant})" if meant else "")

    def leads(self, pattern: str) -> bool:
        """Whether a name or `*` pattern can match something that is routed."""
        if pattern not in self._answers:
            if len(self._answers) >= REMEMBERED:
                self._answers.clear()
            self._answers[pattern] = self._can_match(pattern)
        return self._answers[pattern]

    def _can_match(self, pattern: str) -> bool:
        if pattern in self._exact or meet_any(pattern, self._wide):
            return True
        if meet_any(pattern, (f"{name}/*" for name in self._providers)):
            return not pattern.endswith("/")  # a provider's name alone is no model
        if "*" not in pattern:
            return False
        fits = _regex(pattern).fullmatch
        return any(fits(name) for name in self._exact)

    def _meant(self, pattern: str) -> str:
        provider, slash, rest = pattern.partition("/")
        if slash and rest:
            hint = did_you_mean(provider, self._providers)
            return hint if not hint.startswith("did you mean") else f"{hint[:-2]}/{rest}'?"
        return did_you_mean(pattern, (*self._exact, *self._wide, *(f"{name}/*" for name in self._providers)))


def meet_any(pattern: str, wide: Iterable[str]) -> bool:
    """Whether a name or pattern can match a name that one of the patterns with a `*` matches."""
    return any(meet(pattern, other) for other in wide)


def meet(a: str, b: str) -> bool:
    """Whether two patterns have a name in common; `*` stands for any characters.

    With a star in both it suffices that their beginnings and their ends agree: what stands between can follow one
    after the other.
    """
    if "*" not in a:
        return _regex(b).fullmatch(a) is not None
    if "*" not in b:
        return _regex(a).fullmatch(b) is not None
    start_a, start_b = a.partition("*")[0], b.partition("*")[0]
    end_a, end_b = a.rpartition("*")[2], b.rpartition("*")[2]
    starts = start_a.startswith(start_b) or start_b.startswith(start_a)
    return starts and (end_a.endswith(end_b) or end_b.endswith(end_a))


def _regex(pattern: str) -> re.Pattern[str]:
    """`*` possessively, piece by piece: linear however many stars there are."""
    first, *others = pattern.split("*")
    if not others:
        return re.compile(re.escape(first))
    *middle, last = others
    # An atomic group keeps the first place where a piece fits, which is the best one for all that follow.
    pieces = "".join(f"(?>.*?{re.escape(piece)})" for piece in middle if piece)
    return re.compile(f"{re.escape(first)}{pieces}.*{re.escape(last)}", re.DOTALL)
