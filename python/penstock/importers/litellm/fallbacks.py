"""Fallbacks of LiteLLM by name become the targets of those names, as far as they speak a dialect of the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from penstock.config.tree import Mapping
from penstock.importers.litellm.models import MAX_TARGETS, Model, Models, Target, TooMany
from penstock.importers.litellm.notes import Notes, printable
from penstock.importers.litellm.values import Field, Wrong, fields, items, text

MOST = 16
"""As `max_attempts` allows: what stands behind is never reached."""
MOST_NAMES = 64

_ORDER = ("openai", "anthropic", "ollama")


class Chain(NamedTuple):
    """`names`: where it goes, each with its path."""

    path: str
    names: list[tuple[str, str]]


def read(field: Field | None, wrong: Wrong, notes: Notes) -> dict[str, Chain]:
    """`[{name: [other, …]}, …]`, or one such mapping; the first list of a name counts."""
    found: dict[str, Chain] = {}
    if field is None:
        return found
    for entry in [field] if isinstance(field.node, Mapping) else items(field, wrong):
        for name, others in fields(entry, wrong).items():
            if name in found:
                notes.add(others.path, f"{printable(name)!r} has fallbacks already, and the first list counts")
                continue
            found[name] = Chain(others.path, list(_names(others, wrong, notes)))
    return found


def read_default(field: Field | None, wrong: Wrong, notes: Notes) -> Chain | None:
    """`default_fallbacks: [name, …]`."""
    return Chain(field.path, list(_names(field, wrong, notes))) if field is not None else None


def _names(field: Field, wrong: Wrong, notes: Notes) -> Iterator[tuple[str, str]]:
    listed = [field] if text(field) is not None else items(field, wrong)
    if len(listed) > MOST_NAMES:
        notes.add(field.path, f"only the first {MOST_NAMES} are looked at: at most {MOST} attempts are made")
    for each in listed[:MOST_NAMES]:
        name = text(each)
        if name is None and isinstance(each.node, Mapping):
            inside = fields(each, wrong)
            name = text(inside.get("model"))
            notes.add(each.path, "only its model is carried over: a fallback sends the same request")
        if name:
            yield name, each.path


def apply(models: Models, chains: dict[str, Chain], default: Chain | None, notes: Notes) -> None:
    """Gives every model its fallbacks, and leaves out what cannot stand together. Raises `TooMany`."""
    usual: Chain | None = chains.get("*") or default
    for name, chain in chains.items():
        if name != "*" and name not in models.found:
            reason = (
                f"{printable(name)!r} is no model here: `provider/NAME` and names that were not carried over have none"
            )
            notes.add(chain.path, reason)
    leads: dict[str, list[Target]] = {}
    total = 0
    for name, model in models.found.items():
        own = chains.get(name) or usual
        wanted = list(_targets(name, own, models, leads, notes)) if own else []
        _settle(name, model, [*model.later, *wanted], models, notes)
        total += len(model.targets) + len(model.fallback)
        if total > MAX_TARGETS:
            raise TooMany(f"fallbacks that make more than {MAX_TARGETS} targets")
    if usual is not None and not models.found:
        notes.add(usual.path, "there is no model here that could have them")


def _targets(
    name: str, chain: Chain, models: Models, leads: dict[str, list[Target]], notes: Notes
) -> Iterator[tuple[str, Target]]:
    for other, path in chain.names:
        if other == name:
            continue
        if other not in leads:
            found = models.lead(other)
            leads[other] = [] if found is None else [target for target, _ in zip(found, range(MOST), strict=False)]
        if not leads[other]:
            notes.add(path, f"{printable(other)!r} leads nowhere here")
        for target in leads[other]:
            yield path, target


def _settle(
    name: str, model: Model, wanted: Iterable[Target | tuple[str, Target]], models: Models, notes: Notes
) -> None:
    """One dialect must be common to all: the one that most targets speak, then most fallbacks, then OpenAI's."""
    providers = models.providers
    later = [each if isinstance(each, Target) else each[1] for each in wanted]
    paths = [model.path if isinstance(each, Target) else each[0] for each in wanted]
    dialect = max(
        _ORDER,
        key=lambda d: (
            sum(d in providers.dialects(target.provider) for target in model.targets),
            sum(d in providers.dialects(target.provider) for target in later),
            -_ORDER.index(d),
        ),
    )
    kept: dict[tuple[str, str | None], Target] = {}
    for target in model.targets:
        if dialect not in providers.dialects(target.provider):
            notes.add(model.path, _other(name, target, dialect))
            continue
        same = (target.provider, target.model)
        weight = target.weight + (kept[same].weight if same in kept else 0)
        kept[same] = target._replace(weight=min(weight, 1_000_000))
    after: dict[tuple[str, str | None], Target] = {}
    for target, path in zip(later, paths, strict=True):
        same = (target.provider, target.model)
        if same in kept or same in after:
            continue
        if dialect not in providers.dialects(target.provider):
            notes.add(path, _other(name, target, dialect))
        elif len(after) == MOST:
            notes.add(path, f"{name}: at most {MOST} attempts are made, so what stands behind is left out")
            break
        else:
            after[same] = target._replace(weight=1)
    model.targets, model.fallback = list(kept.values()), list(after.values())


def _other(name: str, target: Target, dialect: str) -> str:
    return (
        f"{printable(name)}: {target.provider} does not speak {dialect}'s dialect as the others do, and requests are "
        "not "
        "translated in this release; give it a model of its own"
    )
