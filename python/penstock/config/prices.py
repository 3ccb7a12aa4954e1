"""What has no price although money is limited: a warning, since such a model is refused under a budget."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from penstock.config.model import Config
from penstock.policy.names import meet
from penstock.providers.catalogue import Catalogue
from penstock.providers.prices import load_prices
from penstock.providers.resolve import Upstream, resolve

SHOWN = 5
_DATED = re.compile(r"(.+)(?:-\d{4}-\d\d-\d\d|[-@]\d{8})\Z", re.ASCII)
Concerned = Callable[[str, str], bool]


def warnings(config: Config, catalogue: Catalogue, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Of a checked configuration; budgets of keys and teams stand elsewhere."""
    limits = config.limits
    if limits.unpriced == "allow":
        return ()
    models = [name for name, given in limits.models.items() if given.budget is not None]
    providers = {name for name, given in limits.providers.items() if given.budget is not None}
    everywhere = limits.default.budget is not None or limits.global_.budget is not None
    if not (everywhere or models or providers):
        return ()

    def concerned(name: str, provider: str) -> bool:
        return everywhere or provider in providers or any(meet(limited, name) for limited in models)

    found = unpriced(config, catalogue, environ, concerned)
    if not found:
        return ()
    return (
        f"there is a budget, and no price of {some(found)}: under it they answer 403 model_unpriced; write them "
        "under prices, or free: true at the provider, or limits.unpriced: allow",
    )


def unpriced(
    config: Config,
    catalogue: Catalogue,
    environ: Mapping[str, str],
    concerned: Concerned = lambda _name, _provider: True,
) -> list[str]:
    """`provider/model` of every configured target that is neither priced nor free, of those that are `concerned`: a
    name that is asked for and the provider that serves it."""
    upstreams = {name: resolve(name, given, catalogue, environ) for name, given in config.providers.items()}
    listed = load_prices({each.kind for each in upstreams.values() if each.kind})
    found: dict[str, None] = {}
    for name, provider, model in _targets(config, upstreams):
        if upstreams[provider].free or not concerned(name, provider):
            continue
        prices = (*config.prices, *listed.get(upstreams[provider].kind or "", ()))
        if not any(meet(each, price) for each in _names(model) for price in prices):
            found[f"{provider}/{model}"] = None
    return list(found)


def _names(model: str) -> Iterator[str]:
    """A name, and the same without the date of a version, under which a price is found as well."""
    yield model
    if dated := _DATED.match(model):
        yield dated[1]


def some(names: list[str]) -> str:
    """`a, b and 7 more`."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _targets(config: Config, upstreams: Mapping[str, Upstream]) -> Iterator[tuple[str, str, str]]:
    """A name that is asked for, a provider, and the name or pattern of the model there."""
    for name, model in config.models.items():
        for target in (*model.targets, *model.fallback):
            yield name, target.provider, target.model or name
    for name in config.limits.models:  # such as openai/gpt-5, which no model has to name
        provider, slash, rest = name.partition("/")
        if slash and name not in config.models and provider in upstreams:
            yield name, provider, rest
    if not config.models:  # of all that a provider serves nobody prices everything: any price will do
        for name in upstreams:
            yield "*", name, "*"
