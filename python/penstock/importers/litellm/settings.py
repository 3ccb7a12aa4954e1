"""Everything of a LiteLLM file beside its models: what a `penstock.yaml` has a field for, and the list of the rest."""

from __future__ import annotations

from typing import NamedTuple

from penstock.importers.litellm import fallbacks, parameters, reasons
from penstock.importers.litellm.fallbacks import Chain
from penstock.importers.litellm.notes import Notes
from penstock.importers.litellm.source import Source
from penstock.importers.litellm.values import Field, Wrong, fields, number, text

MODELS = ("model_list", "credential_list")
_SECTIONS = {
    "litellm_settings": reasons.LITELLM_SETTINGS,
    "router_settings": reasons.ROUTER_SETTINGS,
    "general_settings": reasons.GENERAL_SETTINGS,
}
_QUIET = {("router_settings", "routing_strategy"): ("simple-shuffle",)}  # settings that say what happens anyway


class Settings(NamedTuple):
    """`top`: fields for the top of the file; `retries`: beyond the first attempt; `aliases`: path and model by name."""

    top: dict[str, object]
    retries: int | None
    aliases: dict[str, tuple[str, str]]
    chains: dict[str, Chain]
    default: Chain | None


def read(source: Source, notes: Notes, wrong: Wrong) -> Settings:
    """Values of `router_settings` go before those of `litellm_settings`, as in LiteLLM."""
    inside = {name: fields(source.sections[name], wrong) if name in source.sections else {} for name in _SECTIONS}
    router, litellm, general = inside["router_settings"], inside["litellm_settings"], inside["general_settings"]
    read: set[str] = set()

    def either(*names: str) -> Field | None:
        found = [group[name] for name in names for group in (router, litellm) if name in group]
        read.update(field.path for field in found)
        for hidden in found[1:]:
            notes.add(hidden.path, f"{found[0].path} goes before it")
        return found[0] if found else None

    top: dict[str, object] = {}
    limit = either("timeout", "request_timeout")
    if (seconds := parameters.milliseconds(limit, notes)) is not None and limit is not None:
        top["timeouts"] = {"first_token": seconds}
        reason = (
            "becomes timeouts.first_token: for an unstreamed answer the same; a stream that has begun may take longer"
        )
        notes.add(limit.path, reason)
    _body(general, top, notes, read)
    if (json_logs := litellm.get("json_logs")) and (text(json_logs) or "").lower() == "true":
        top["log"] = {"format": "json"}
        read.add(json_logs.path)
    settings = Settings(
        top=top,
        retries=_retries(either("num_retries"), notes),
        aliases=_aliases(either("model_group_alias"), either("model_alias_map"), notes, wrong),
        chains=fallbacks.read(either("fallbacks"), wrong, notes),
        default=fallbacks.read_default(either("default_fallbacks"), wrong, notes),
    )
    _list_rest(source, inside, read, notes)
    return settings


def _body(general: dict[str, Field], top: dict[str, object], notes: Notes, read: set[str]) -> None:
    field = general.get("max_request_size_mb")
    if field is None or field.is_off:
        return
    read.add(field.path)
    megabytes = number(field)
    if megabytes is None or not 1024 <= int(megabytes * (1 << 20)) <= 1 << 30:
        notes.add(field.path, "body.max_bytes is from 1 KiB to 1 GiB")
    else:
        top["body"] = {"max_bytes": int(megabytes * (1 << 20))}


def _retries(field: Field | None, notes: Notes) -> int | None:
    if field is None:
        return None
    found = number(field)
    if found is None or found != int(found) or found > 1000:
        notes.add(field.path, "expected a small whole number")
        return None
    reason = (
        "becomes max_attempts, which counts all targets and fallbacks of a request; none is asked twice, so a model "
        "with one "
        "target has one attempt"
    )
    notes.add(field.path, reason)
    return int(found)


def _aliases(groups: Field | None, module: Field | None, notes: Notes, wrong: Wrong) -> dict[str, tuple[str, str]]:
    """Name → path and the model it means; a model may be written as `{model: …, hidden: …}`."""
    found: dict[str, tuple[str, str]] = {}
    for field in (groups, module):
        for name, each in (fields(field, wrong) if field else {}).items():
            model = text(each)
            if model is None:
                inside = fields(each, wrong)
                model = text(inside.get("model"))
                if "hidden" in inside and not inside["hidden"].is_off:
                    notes.add(inside["hidden"].path, "/v1/models lists every name")
            if model:
                found.setdefault(name, (each.path, model))
    return found


def _list_rest(source: Source, inside: dict[str, dict[str, Field]], read: set[str], notes: Notes) -> None:
    for section, table in _SECTIONS.items():
        for name, field in inside[section].items():
            quiet = _QUIET.get((section, name), ())
            if field.path in read or field.is_off or text(field) in quiet:
                continue
            notes.add(field.path, table.get(name, reasons.NOTHING))
    for name, field in source.sections.items():
        if name in _SECTIONS or field.is_off:
            continue
        if name == "environment_variables":
            for inner in fields(field, Wrong()).values():
                notes.add(inner.path, reasons.TOP[name])
        else:
            notes.add(field.path, reasons.TOP.get(name, reasons.NOTHING))
    for name, entries in source.lists.items():
        if name not in MODELS and entries:
            notes.add(name, reasons.TOP.get(name, reasons.NOTHING))
