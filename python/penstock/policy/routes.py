"""Which names lead to which targets: configured models, or else what the kinds of the providers are known to serve."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.config import model
from penstock.policy import snapshot
from penstock.providers.resolve import Upstream


def compile_models(config: model.Config) -> tuple[snapshot.Model, ...]:
    """Models in the order of the file."""
    return tuple(_model(name, given) for name, given in config.models.items())


def compile_patterns(config: model.Config, upstreams: Mapping[str, Upstream]) -> tuple[snapshot.Pattern, ...]:
    """The catalogue's patterns, the more exact first; none once models are configured. The first provider wins."""
    if config.models:
        return ()
    found: dict[str, str] = {}
    for name, upstream in upstreams.items():
        for pattern in upstream.patterns:
            found.setdefault(pattern, name)
    exact_first = sorted(found.items(), key=lambda item: -len(item[0]))
    return tuple(snapshot.Pattern(pattern, name) for pattern, name in exact_first)


def _model(name: str, given: model.Model) -> snapshot.Model:
    times = given.timeouts
    limits = None
    if times is not None:
        limits = snapshot.SomeTimeouts(times.connect, times.first_token, times.between_bytes, times.total)
    return snapshot.Model(name, _targets(given.targets), _targets(given.fallback), limits, given.max_output_tokens)


def _targets(targets: tuple[model.Target, ...]) -> tuple[snapshot.Target, ...]:
    return tuple(snapshot.Target(target.provider, target.model, target.weight) for target in targets)
