"""A configured provider with everything that its kind fills in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from penstock.config.addresses import Url, parse_url
from penstock.config.model import Auth, DialectName, EnvPart, GivenAuth, Provider, Secret
from penstock.config.problem import Path, did_you_mean
from penstock.providers.catalogue import Catalogue, Kind

T = TypeVar("T")
_ADDED: dict[DialectName, str] = {"openai": "", "anthropic": "/v1", "ollama": "/api"}
_RELATIVE = re.compile(r"/[!-~]*\Z")


class Upstream(NamedTuple):
    """Where requests for one provider go, and how."""

    kind: str | None
    bases: dict[DialectName, Url]
    auth: Auth
    api_key: Secret | None
    forward_headers: tuple[str, ...]
    supports_stream_usage: bool
    supports_count_tokens: bool
    lists_models: bool
    patterns: tuple[str, ...]
    free: bool


class Unresolved(Exception):
    """What is missing: the field (below the provider), a message and a hint."""

    def __init__(self, path: Path, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.path, self.message, self.hint = path, message, hint


def resolve(name: str, given: Provider, catalogue: Catalogue, environ: Mapping[str, str]) -> Upstream:
    """Raises `Unresolved`."""
    if given.kind is not None and given.kind not in catalogue:
        raise Unresolved(("kind",), f"{given.kind!r} is not in the catalogue", did_you_mean(given.kind, catalogue))
    kind_name = given.kind or (name if name in catalogue else None)
    kind = catalogue[kind_name] if kind_name else None
    base_url = given.base_url or (kind.base_url if kind else None)
    dialects = _dialects(name, given, kind, catalogue)
    if base_url is None:
        raise Unresolved(("base_url",), "is missing", "write where it is, such as http://10.0.0.5:8000/v1")
    try:
        url = parse_url(base_url)
    except ValueError as error:
        raise Unresolved(("base_url",), str(error)) from None
    bases: dict[DialectName, Url] = {}
    for dialect, below in dialects.items():
        path = below.rstrip("/")
        added = path or _ADDED[dialect]
        if added and url.path.endswith(added):
            raise Unresolved(("base_url",), f"ends in {added}, which the dialect {dialect} adds", f"leave {added} off")
        bases[dialect] = url._replace(path=url.path + path)
    return Upstream(
        kind=kind_name,
        bases=bases,
        auth=_auth(given, kind),
        api_key=given.api_key or _usual_key(given, kind, environ),
        forward_headers=_either(given.forward_headers, kind.forward_headers if kind else ()),
        supports_stream_usage=_either(given.supports_stream_usage, kind.supports_stream_usage if kind else False),
        supports_count_tokens=_either(given.supports_count_tokens, kind.supports_count_tokens if kind else True),
        lists_models=_either(given.lists_models, given.credentials == "own" and (kind.lists_models if kind else True)),
        patterns=_either(given.patterns, kind.patterns if kind else ()),
        free=_either(given.free, kind.free if kind else False),
    )


def _either(given: T | None, usual: T) -> T:
    return usual if given is None else given


def _auth(given: Provider, kind: Kind | None) -> Auth:
    usual, wish = kind.auth if kind else Auth(), given.auth or GivenAuth()
    return Auth(header=_either(wish.header, usual.header), prefix=_either(wish.prefix, usual.prefix))


def _dialects(name: str, given: Provider, kind: Kind | None, catalogue: Catalogue) -> Mapping[DialectName, str]:
    if given.dialect and given.dialects:
        raise Unresolved(("dialect",), "stands beside dialects", "write one of the two")
    if given.dialects is not None:
        for dialect, below in given.dialects.items():
            if not _RELATIVE.match(below) or "?" in below or "#" in below:
                raise Unresolved(("dialects", dialect), "expected a path under base_url, such as / or /v1")
        if given.dialects:
            return given.dialects
    if given.dialect:
        # Of a known kind its own path for that dialect; any other server has it at base_url itself.
        below = kind.dialects.get(given.dialect, "/") if kind and given.base_url is None else "/"
        return {given.dialect: below}
    if kind:
        return kind.dialects
    hint = did_you_mean(name, catalogue, likeness=0.8)
    advice = "say dialect: openai, anthropic or ollama, or kind: one of the catalogue"
    raise Unresolved((), "has no dialect and is not in the catalogue", hint if "did you" in hint else advice)


def _usual_key(given: Provider, kind: Kind | None, environ: Mapping[str, str]) -> Secret | None:
    """The key from where the vendor's own tools look for it; never sent to an address that is not the vendor's."""
    elsewhere = given.base_url is not None and kind is not None and kind.base_url is not None
    if given.credentials == "client" or kind is None or kind.env is None or elsewhere:
        return None
    carrier = _auth(given, kind).header.lower()
    if any(header.lower() == carrier for header in given.headers):
        return None  # written by hand
    if environ.get(kind.env):
        return Secret((EnvPart(kind.env),))
    if kind.key == "required" and given.api_key is None:
        raise Unresolved(("api_key",), "is missing", f"set {kind.env}, or write api_key: ${{env:NAME}}")
    return None
