"""From LiteLLM's `api_base` to a `base_url` as the vendor's own SDK takes it."""

from __future__ import annotations

import re
from typing import NamedTuple

from penstock.config.addresses import Url, parse_url
from penstock.importers.litellm.values import Value, escape
from penstock.providers.catalogue import Catalogue

# What LiteLLM (or its reader) may write behind the address and Penstock adds by itself.
_ENDINGS = {
    "openai": ("/chat/completions", "/completions", "/embeddings", "/responses"),
    "anthropic": ("/v1/messages", "/v1"),
    "ollama": ("/api/generate", "/api/chat", "/api", "/v1"),
}
_AZURE = "/openai/v1"
_HARMLESS_QUERY = re.compile(r"api-version=[A-Za-z0-9.-]{1,40}\Z")
_LABEL = re.compile(r"[^a-z0-9_.-]+")
_TAIL = re.compile(r"_?(API)?_?(BASE|URL|HOST|ENDPOINT)+(_URL)?\Z")


class Address(NamedTuple):
    """`base_url` as it is written; `query`: what is added to every query; `label`: a short word for a name."""

    base_url: str
    query: Value | None
    label: str
    notes: tuple[str, ...] = ()


def convert(given: Value, kind: str | None) -> Address:
    """Raises ValueError saying what is wrong; it never repeats the address, which may hold a password."""
    if given.form == "env":
        notes: tuple[str, ...] = ()
        if kind == "azure":
            notes = (f"{given.text} must hold the address of the resource alone, without a slash or a path at its end",)
        label = _TAIL.sub("", given.text.upper()).strip("_").lower().replace("_", "-")
        return Address(f"${{env:{given.text}}}{_AZURE if kind == 'azure' else ''}", None, label, notes)
    text, _, query = given.text.strip().partition("#")[0].partition("?")
    url = parse_url(text)
    base = text.rstrip("/")
    cut: tuple[str, ...] = ()
    if kind == "azure":
        base = _azure(base)
        if text.rstrip("/") not in (base, base.removesuffix(_AZURE)):
            cut = ("is cut down to the resource: the model is the name of the deployment",)
    else:
        for ending in _ENDINGS[kind if kind in ("anthropic", "ollama") else "openai"]:
            if url.path.endswith(ending):
                base = base.removesuffix(ending)
                cut = (f"ends in {ending}, which Penstock adds by itself, so it is left off",)
                break
    parse_url(base)
    return Address(escape(base), _query(query, kind), _label(url), cut)


def vendor(base_url: str, catalogue: Catalogue) -> str | None:
    """The kind whose own address this is, if it speaks OpenAI's dialect right there."""
    try:
        url = parse_url(base_url)
    except ValueError:
        return None
    for name, kind in catalogue.items():
        is_its = kind.base_url is not None and parse_url(kind.base_url) == url
        if is_its and kind.dialects.get("openai") == "/":
            return name
    return None


def is_at_home(base_url: str, kind: str, catalogue: Catalogue) -> bool:
    """Whether this is the address that the kind has anyway."""
    usual = catalogue[kind].base_url
    try:
        return usual is not None and parse_url(usual) == parse_url(base_url)
    except ValueError:
        return False


def _azure(base: str) -> str:
    """`https://resource.openai.azure.com/openai/deployments/x` and the like, down to what is before `/openai`."""
    scheme, _, rest = base.partition("://")
    host, _, path = rest.partition("/")
    before = ("/" + path).partition("/openai")[0].rstrip("/") if "openai" in path else ("/" + path).rstrip("/")
    return f"{scheme}://{host}{before}{_AZURE}"


def _query(query: str, kind: str | None) -> Value | None:
    if not query or kind == "azure":  # the version in an address of Azure means nothing to its v1 API
        return None
    return Value(query, "plain" if _HARMLESS_QUERY.match(query) else "secret")


def _label(url: Url) -> str:
    """The first word of a host that says something; the whole of an IP address, with its port."""
    is_number = re.fullmatch(r"[0-9.]+|[0-9a-f:]+:[0-9a-f:]*", url.host) is not None
    host = url.host.replace(":", ".") if is_number else url.host.removeprefix("api.").removeprefix("www.").split(".")[0]
    usual = 443 if url.scheme == "https" else 80
    return _LABEL.sub("-", host if url.port == usual else f"{host}-{url.port}").strip("-._")[:40]
