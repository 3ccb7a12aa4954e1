"""One entry of `model_list`: which provider it needs, which model it asks there, how often and how long."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from penstock.importers.litellm import parameters, specs
from penstock.importers.litellm.notes import Notes, printable
from penstock.importers.litellm.prefixes import Prefix, find
from penstock.importers.litellm.source import Source
from penstock.importers.litellm.specs import Dropped, Spec
from penstock.importers.litellm.values import Field, Value, Wrong, fields, number, text, value, words
from penstock.providers.catalogue import Catalogue

MAX_ORGANIZATIONS = 64
_BARE = ("openai", "anthropic", "cohere")  # kinds whose model names LiteLLM knows without a prefix


@dataclass(frozen=True)
class Deployment:
    """`model` is the provider's own name, and may hold a `*`; `ids`: what else a fallback may call it."""

    path: str
    name: str
    spec: Spec
    model: str
    weight: Decimal | None = None
    rpm: Decimal | None = None
    tpm: Decimal | None = None
    parallel: Decimal | None = None
    limits_at: tuple[tuple[str, str], ...] = ()
    """Where each of the three stands that was written."""
    order: Decimal = Decimal(1)
    first_token_ms: int | None = None
    id: str | None = None
    access_groups: tuple[str, ...] = ()


def read(source: Source, catalogue: Catalogue, notes: Notes, wrong: Wrong) -> list[Deployment]:
    """What can be carried over, in the order of the files; the rest is noted."""
    credentials = _credentials(source, wrong)
    found: list[Deployment] = []
    for entry in source.lists.get("model_list", []):
        inside = fields(entry, wrong)
        name, given = text(inside.get("model_name")), inside.get("litellm_params")
        if not inside:
            continue
        if name is None:
            wrong.note(inside.get("model_name", entry), "model_name: expected the name that clients ask for")
        if given is None or name is None:
            if given is None:
                wrong.note(entry, "litellm_params: is missing")
            continue
        params = fields(given, wrong)
        if text(params.get("model")) is None:
            wrong.note(params.get("model", given), "model: expected provider/model")
            continue
        try:
            found += _deployments(
                entry.path, name, inside, _with_credentials(params, credentials, notes), catalogue, notes
            )
        except Dropped as dropped:
            notes.add(dropped.path, f"{printable(name)!r} loses this target: {dropped.reason}")
    return found


def _deployments(
    path: str, name: str, entry: dict[str, Field], params: dict[str, Field], catalogue: Catalogue, notes: Notes
) -> list[Deployment]:
    if "mock_response" in params:
        raise Dropped(params["mock_response"].path, "answers are not made up here")
    prefix_name, prefix, model = _route(params, catalogue)
    mine = Notes()  # of a deployment that is dropped after all, one note is enough
    spec = specs.read(params, prefix, catalogue, mine)
    model = _model(model, prefix_name, params["model"].path, mine)
    model_info = fields(entry["model_info"], Wrong()) if "model_info" in entry else {}
    base = Deployment(
        path=path,
        name=name,
        spec=spec,
        model=model,
        weight=number(params.get("weight")),
        rpm=number(params.get("rpm")) or number(entry.get("rpm")),
        tpm=number(params.get("tpm")) or number(entry.get("tpm")),
        parallel=number(params.get("max_parallel_requests")),
        limits_at=_limits_at(params, entry),
        order=number(params.get("order")) or Decimal(1),
        first_token_ms=parameters.first_token_ms(params, mine),
        id=text(model_info.get("id")),
        access_groups=tuple(words(model_info.get("access_groups"))),
    )
    parameters.list_rest(params, entry, model_info, mine)
    organizations = _organizations(params.get("organization"), mine)
    for note in mine:
        notes.add(*note)
    if not organizations:
        return [base]
    return [replace(base, spec=_for_organization(spec, value(each, secret=False))) for each in organizations]


def _limits_at(params: dict[str, Field], entry: dict[str, Field]) -> tuple[tuple[str, str], ...]:
    written = ((name, params.get(name) or entry.get(name)) for name in parameters.LIMITS)
    return tuple((name, field.path) for name, field in written if field is not None and not field.is_off)


def _organizations(field: Field | None, notes: Notes) -> list[str]:
    """Each is a deployment of its own, as in LiteLLM."""
    given = list(dict.fromkeys(words(field)))
    usable = [each for each in given if each.isascii() and each.isprintable() and each.strip()][:MAX_ORGANIZATIONS]
    if field is not None and not field.is_off and (len(usable) < len(given) or not given):
        notes.add(field.path, f"expected at most {MAX_ORGANIZATIONS} short texts; the others are left out")
    return usable


def _for_organization(spec: Spec, organization: Value) -> Spec:
    return replace(spec, headers=(*spec.headers, ("openai-organization", organization)))


def _route(params: dict[str, Field], catalogue: Catalogue) -> tuple[str, Prefix, str]:
    """The prefix, what it means, and the model without it."""
    written, path = text(params["model"]) or "", params["model"].path
    given = text(params.get("custom_llm_provider"))
    first, slash, rest = written.partition("/")
    if given:
        prefix, model = given, rest if slash and first == given else written
    elif slash:
        prefix, model = first, rest
    else:
        prefix, model = _bare(written, path, catalogue), written
    found = find(prefix)
    if isinstance(found, str):
        raise Dropped(path, f"{printable(prefix)}: {found}")
    if not model:
        raise Dropped(path, "it names no model")
    return prefix, found, model


def _bare(model: str, path: str, catalogue: Catalogue) -> str:
    """The provider that LiteLLM guesses from a name alone, as far as the catalogue knows it."""
    if model == "*":
        reason = (
            "`*` names no provider. Write each provider you use under providers; then `provider/name` reaches all "
            "that it has"
        )
        raise Dropped(path, reason)
    if model.startswith("ft:gpt-"):
        return "openai"
    for kind in _BARE:
        for pattern in catalogue[kind].patterns:
            head, star, tail = pattern.partition("*")
            if model == pattern or (star and model.startswith(head) and model.endswith(tail)):
                return kind
    raise Dropped(path, "the name says no provider: write `provider/model`, as LiteLLM recommends, and import again")


def _model(model: str, prefix: str, path: str, notes: Notes) -> str:
    """The provider's own name of the model."""
    if prefix == "fireworks_ai" and "*" not in model and not model.startswith("accounts/") and "#" not in model:
        return f"accounts/fireworks/models/{model}"
    if prefix in ("openai", "azure"):
        for way in ("responses/", "o_series/", "gpt5_series/", "chat/"):
            if model.startswith(way) and len(model) > len(way):
                if way == "responses/":
                    notes.add(
                        path, "LiteLLM asks it at /responses for clients of /chat/completions; ask it at /responses"
                    )
                return model.removeprefix(way)
    if not model.isprintable():
        raise Dropped(path, "the name of a model is printable")
    return model


def _credentials(source: Source, wrong: Wrong) -> dict[str, dict[str, Field]]:
    """`credential_list`: name → what it fills in."""
    found: dict[str, dict[str, Field]] = {}
    for entry in source.lists.get("credential_list", []):
        inside = fields(entry, wrong)
        name, values = text(inside.get("credential_name")), inside.get("credential_values")
        if name and values:
            found[name] = fields(values, wrong)
    return found


def _with_credentials(
    params: dict[str, Field], credentials: dict[str, dict[str, Field]], notes: Notes
) -> dict[str, Field]:
    name = text(params.get("litellm_credential_name"))
    if name is None:
        return params
    if name not in credentials:
        reason = (
            "is not in credential_list, so it is in LiteLLM's database: write api_key and base_url of its provider "
            "by hand"
        )
        notes.add(params["litellm_credential_name"].path, reason)
    return credentials.get(name, {}) | params
