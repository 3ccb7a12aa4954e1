"""Providers as native needs them: addresses, credentials by reference, limits, the proxy on the way."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import asdict

from penstock.config.addresses import Url
from penstock.config.check_providers import below_v1
from penstock.config.model import Config, Provider, TextPart, overlay
from penstock.config.model import Timeouts as Limits
from penstock.policy import snapshot
from penstock.policy.proxy import proxy_for
from penstock.providers.resolve import Upstream


def compile_provider(
    name: str, given: Provider, found: Upstream, config: Config, environ: Mapping[str, str]
) -> snapshot.Provider:
    """One provider; raises `ProxyError` when a proxy variable cannot be understood."""
    auth = None
    if found.api_key is not None:
        auth = snapshot.Credential(found.auth.header.lower(), found.auth.prefix, found.api_key.parts)

    def base(url: Url) -> snapshot.Base:
        return snapshot.Base(url.scheme, url.host, url.port, url.path, auth)

    anywhere = next(iter(found.bases.values()))  # one host, several paths
    return snapshot.Provider(
        name=name,
        kind=found.kind,
        dialects={dialect: base(url) for dialect, url in found.bases.items()},
        headers=tuple((header.lower(), value.parts) for header, value in given.headers.items()),
        query=tuple(part for part in given.query.parts if part != TextPart("")) if given.query else (),
        forward_headers=tuple(header.lower() for header in found.forward_headers),
        supports_stream_usage=found.supports_stream_usage,
        supports_count_tokens=found.supports_count_tokens,
        passthrough=tuple(below_v1(path) for path in given.passthrough),
        lists_models=found.lists_models,
        timeouts=compile_timeouts(overlay(config.timeouts, given.timeouts)),
        max_connections=given.max_connections,
        client_credentials=given.credentials == "client",
        proxy=proxy_for(anywhere, environ),
        free=found.free,
    )


def compile_timeouts(limits: Limits) -> snapshot.Timeouts:
    """The same with the unit in the names."""
    return snapshot.Timeouts(**{f"{name}_ms": value for name, value in asdict(limits).items()})
