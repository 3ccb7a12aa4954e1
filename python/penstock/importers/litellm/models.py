"""Deployments of one name become one model: targets by weight, what is tried later; wildcards and aliases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from penstock.importers.litellm.deployments import Deployment
from penstock.importers.litellm.notes import Notes, printable
from penstock.importers.litellm.providers import Providers
from penstock.importers.litellm.weights import weights

MAX_TARGETS = 20_000
"""Of all models together: aliases and default fallbacks multiply."""
MAX_WILDCARDS = 1_000


class TooMany(Exception):
    """The models would be more than a configuration may hold; the message says of what."""


class Target(NamedTuple):
    """`model` None: the name asked for."""

    provider: str
    model: str | None
    weight: int = 1


@dataclass
class Model:
    """`later`: targets that are tried only after the others; they go before the fallbacks of the name."""

    path: str
    targets: list[Target]
    later: list[Target] = field(default_factory=list)
    fallback: list[Target] = field(default_factory=list)
    first_token_ms: int | None = None

    def in_order(self) -> Iterator[Target]:
        """The targets as a fallback names them: the heavier first, then those for later."""
        yield from sorted(self.targets, key=lambda target: -target.weight)
        yield from self.later


class Models:
    """What each name leads to; `direct`: names of providers that stand for `name/*`."""

    def __init__(self, deployments: list[Deployment], providers: Providers, notes: Notes) -> None:
        self.notes = notes
        self.providers = providers
        self.found: dict[str, Model] = {}
        self.direct: set[str] = set()
        self._ids: dict[str, Target] = {}
        self._by_name: dict[str, list[Deployment]] = {}
        for deployment in deployments:
            if _is_name(deployment.name):
                self._by_name.setdefault(deployment.name, []).append(deployment)
            else:
                notes.add(deployment.path, "a model's name is printable, without spaces, of at most 256 characters")
        self._claim()
        for name, group in self._by_name.items():
            self._add(name, group)
        self._remove_shadowed()
        self._size = sum(len(model.targets) + len(model.later) for model in self.found.values())
        self._wildcards = [name for name in self.found if "*" in name]
        if len(self._wildcards) > MAX_WILDCARDS:
            raise TooMany(f"more than {MAX_WILDCARDS} wildcards")

    def lead(self, name: str) -> Iterator[Target] | None:
        """Where a name leads: a model, `provider/rest`, the longest wildcard, or the id of a deployment."""
        if name in self.found and "*" not in name:
            return self.found[name].in_order()
        first, slash, rest = name.partition("/")
        if slash and rest and first in self.direct and "*" not in rest:
            return iter((Target(first, rest),))
        wildcards = [pattern for pattern in self._wildcards if fits(pattern, name)] if "*" not in name else []
        if wildcards:
            best = max(wildcards, key=len)
            return (_asked(target, name) for target in self.found[best].in_order())
        return iter((self._ids[name],)) if name in self._ids else None

    def alias(self, name: str, path: str, model: str) -> None:
        """One more name for a model, which LiteLLM looks at first: it may take a model's place. Raises `TooMany`."""
        if not _is_name(name) or "*" in name:
            self.notes.add(path, "a model's name is printable, without spaces; an alias has no `*`")
            return
        leads = self.lead(model)
        if leads is None:
            self.notes.add(path, f"{printable(model)!r} leads nowhere here, so the alias does not either")
            return
        there = self.found.get(model) or Model(path, list(leads))
        self.found[name] = replace(there, path=path, targets=list(there.targets), later=list(there.later))
        self._size += len(there.targets) + len(there.later)
        if self._size > MAX_TARGETS:
            raise TooMany(f"aliases that make more than {MAX_TARGETS} targets")

    def _claim(self) -> None:
        """Names providers after `name/*`, before others take the name."""
        for name, group in list(self._by_name.items()):
            segment, kept = _segment(name), []
            for deployment in group:
                if segment is None or not _is_rest(name, segment, deployment.model):
                    kept.append(deployment)
                elif why := self.providers.claim(segment, deployment.spec):
                    self.notes.add(deployment.path, f"{name} would need a provider named {printable(segment)}: {why}")
                else:
                    self.direct.add(segment)
                    self._note_direct(name, segment, deployment)
            self._by_name[name] = kept

    def _note_direct(self, name: str, segment: str, deployment: Deployment) -> None:
        if name != f"{segment}/*":
            reason = f"{segment}/NAME reaches every model of the provider, not only those that fit {name}"
            self.notes.add(deployment.path, reason)
        if deployment.first_token_ms is not None:
            reason = f"holds for single models only here: write timeouts under providers.{segment}"
            self.notes.add(f"{deployment.path}.litellm_params.timeout", reason)

    def _add(self, name: str, group: list[Deployment]) -> None:
        usable = [deployment for deployment in group if self._is_expressible(name, deployment)]
        if not usable:
            return
        first = min(deployment.order for deployment in usable)
        now = [deployment for deployment in usable if deployment.order == first]
        later = sorted((d for d in usable if d.order != first), key=lambda deployment: deployment.order)
        shares = weights(now, self.notes)
        targets = [self._target(name, d, share) for d, share in zip(now, shares, strict=True) if share]
        unused = [self._target(name, d, 1) for d, share in zip(now, shares, strict=True) if not share]
        for deployment, share in zip(now, shares, strict=True):
            if not share:
                self.notes.add(deployment.path, "has no share of the requests, and is tried only when the others fail")
        limits = {d.first_token_ms for d in usable}
        longest = None if None in limits else max(limit for limit in limits if limit is not None)
        if len(limits) > 1:
            for deployment in usable:
                if deployment.first_token_ms is not None:
                    reason = f"the deployments of {name} differ here; their model has the longest limit"
                    self.notes.add(f"{deployment.path}.litellm_params.timeout", reason)
        after = [*unused, *(self._target(name, deployment, 1) for deployment in later)]
        self.found[name] = Model(usable[0].path, targets, after, first_token_ms=longest)

    def _target(self, name: str, deployment: Deployment, weight: int) -> Target:
        passes = "*" in deployment.model
        target = Target(self.providers.name(deployment.spec), None if passes else deployment.model, weight)
        if deployment.id and not passes:
            self._ids.setdefault(deployment.id, target._replace(weight=1))
        return target

    def _is_expressible(self, name: str, deployment: Deployment) -> bool:
        stars = name.count("*"), deployment.model.count("*")
        if stars[0] > 1:
            reason = f"{name}: a name has at most one `*`"
        elif stars[1] and deployment.model != name:
            reason = (
                f"{name}: a wildcard passes the whole name that was asked for; it cannot be rewritten to "
                f"{deployment.model}"
            )
        else:
            return True
        self.notes.add(deployment.path, reason)
        return False

    def _remove_shadowed(self) -> None:
        """`provider/rest` goes before wildcards, so `groq/*` must not stand beside a provider `groq`."""
        for name in [name for name in self.found if "*" in name and "/" in name]:
            segment = name.partition("/")[0]
            if "*" not in segment and self.providers.spec(segment) is not None:
                reason = f"{name} would never be reached: {segment}/NAME asks the provider of that name"
                self.notes.add(self.found.pop(name).path, reason)


def _asked(target: Target, name: str) -> Target:
    """A target that passes the asked name, when that name is known."""
    return target if target.model is not None else target._replace(model=name)


def fits(pattern: str, name: str) -> bool:
    """Whether a name fits a pattern with one `*`."""
    head, _, tail = pattern.partition("*")
    return len(name) >= len(head) + len(tail) and name.startswith(head) and name.endswith(tail)


def _is_name(name: str) -> bool:
    return bool(name) and name.isprintable() and " " not in name and len(name) <= 256


def _segment(name: str) -> str | None:
    """`openai` of `openai/…*…`."""
    segment, slash, rest = name.partition("/")
    return segment if slash and rest.count("*") == 1 and "*" not in segment else None


def _is_rest(name: str, segment: str, model: str) -> bool:
    """Whether the provider gets what stands behind `segment/`."""
    return name == f"{segment}/{model}"
