"""A LiteLLM configuration becomes a `penstock.yaml`: reads, converts, writes the text, checks it."""

from __future__ import annotations

from typing import NamedTuple

from penstock.config.problem import ConfigError
from penstock.config.units import show_duration, show_size
from penstock.importers.litellm import deployments, fallbacks, limits, settings, source, trial, values, yaml_text
from penstock.importers.litellm.deployments import Deployment
from penstock.importers.litellm.files import refused
from penstock.importers.litellm.models import Model, Models, Target, TooMany
from penstock.importers.litellm.notes import Note, Notes
from penstock.importers.litellm.providers import Providers
from penstock.importers.litellm.settings import Settings
from penstock.importers.litellm.specs import Spec
from penstock.policy.names import Names
from penstock.providers.catalogue import load_catalogue

DEFAULT_ATTEMPTS = 4
MAX_ATTEMPTS = 16
_CLAUDE = (
    "speaks Anthropic's dialect: clients ask for it at /v1/messages; requests to /v1/chat/completions are not "
    "translated to "
    "it in this release"
)


class Converted(NamedTuple):
    """`text`: the file; `variables`: what its environment must have; `names`: the models that it routes.

    `access_groups`: models of LiteLLM's groups. `names` is None, and `problems` says why, when the text does not pass
    `penstock check` yet.
    """

    text: str
    notes: list[Note]
    variables: list[str]
    problems: list[Note]
    names: Names | None
    access_groups: dict[str, list[str]]
    unpriced: list[str]
    """Targets that a budget of a key or team would refuse."""


def convert(file: str, name: str = "penstock.yaml") -> Converted:
    """`name`: what the result will be called. Raises `ConfigError` if the LiteLLM file itself is not right."""
    notes, wrong, catalogue = Notes(), values.Wrong(), load_catalogue()
    read = source.load(file, notes)
    if "model_list" in read.sections:
        wrong.note(read.sections["model_list"], "expected a list")
    for section in ("litellm_settings", "router_settings", "general_settings"):
        for entry in read.lists.get(section, [])[:1]:
            wrong.note(entry, "expected fields and their values, not a list")
    if not read.lists and not read.sections:
        raise refused(file, "holds nothing", "a LiteLLM file starts with `model_list:`")
    found = deployments.read(read, catalogue, notes, wrong)
    asked = settings.read(read, notes, wrong)
    if wrong.problems:
        raise ConfigError(wrong.problems)
    fields = [*read.sections.values(), *(entry for entries in read.lists.values() for entry in entries)]
    taken = {variable for field in fields for variable in values.variables(field.node)}
    providers = Providers(catalogue, taken, notes)
    try:
        models = Models(found, providers, notes)
        for alias, (path, model) in asked.aliases.items():
            models.alias(alias, path, model)
        fallbacks.apply(models, asked.chains, asked.default, notes)
    except TooMany as error:
        raise refused(file, f"describes {error}, which no configuration may have") from None
    _dialects(models, notes)
    plain = _plain(asked, models, providers, found)
    if limited := limits.of_models(found, models.found, notes):
        plain["limits"] = {"models": limited}
    body = yaml_text.dump(plain)
    tried = trial.run(body, plain, catalogue, name)
    text = yaml_text.with_notes(body, file, [*tried.problems, *notes], tried.variables)
    return Converted(
        text, list(notes), tried.variables, tried.problems, tried.names, _access_groups(found, models), tried.unpriced
    )


def _plain(asked: Settings, models: Models, providers: Providers, found: list[Deployment]) -> dict[str, object]:
    """The fields of the file, in the order of docs/configuration.md."""
    plain: dict[str, object] = {}
    longest = max((len(model.targets) + len(model.fallback) for model in models.found.values()), default=1)
    attempts = DEFAULT_ATTEMPTS if asked.retries is None else asked.retries + 1
    attempts = min(max(attempts, longest), MAX_ATTEMPTS)
    if asked.retries is not None or attempts != DEFAULT_ATTEMPTS:
        plain["max_attempts"] = attempts
    for name, value in asked.top.items():
        if name == "timeouts" and isinstance(value, dict):
            plain[name] = {limit: show_duration(ms) for limit, ms in value.items()}
        elif name == "body" and isinstance(value, dict):
            plain[name] = {limit: show_size(size) for limit, size in value.items()}
        else:
            plain[name] = value
    paths: dict[Spec, list[str]] = {}
    for deployment in found:
        paths.setdefault(deployment.spec, []).append(f"{deployment.path}.litellm_params")
    plain["providers"] = providers.plain(paths)
    plain["models"] = {name: _model(model) for name, model in models.found.items()}
    return {name: value for name, value in plain.items() if value != {}}


def _model(model: Model) -> dict[str, object]:
    many = len(model.targets) > 1
    plain: dict[str, object] = {"targets": [_target(target, many) for target in model.targets]}
    if model.fallback:
        plain["fallback"] = [_target(target, False) for target in model.fallback]
    if model.first_token_ms is not None:
        plain["timeouts"] = {"first_token": show_duration(model.first_token_ms)}
    return plain


def _target(target: Target, weighted: bool) -> dict[str, object]:
    plain: dict[str, object] = {"provider": target.provider}
    if target.model is not None:
        plain["model"] = target.model
    if weighted and target.weight != 1:
        plain["weight"] = target.weight
    return plain


def _dialects(models: Models, notes: Notes) -> None:
    """LiteLLM answers every model in OpenAI's dialect; here that needs a target that speaks it."""
    for name, model in models.found.items():
        if not any("openai" in models.providers.dialects(target.provider) for target in model.targets):
            notes.add(model.path, f"{name} {_CLAUDE}")
    for name in sorted(models.direct):
        if "openai" not in models.providers.dialects(name):
            notes.add(f"model_list: {name}/*", _CLAUDE)


def _access_groups(found: list[Deployment], models: Models) -> dict[str, list[str]]:
    groups: dict[str, dict[str, None]] = {}
    for deployment in found:
        segment = deployment.name.partition("/")[0]
        if deployment.name in models.found or segment in models.direct:
            for group in deployment.access_groups:
                groups.setdefault(group, {})[deployment.name] = None
    return {group: list(names) for group, names in groups.items()}
