"""Configuration in, snapshot out."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from penstock.config.addresses import parse_listen
from penstock.config.model import Config
from penstock.policy import snapshot
from penstock.policy.limits import compile_limits
from penstock.policy.machine import auto_inflight_bytes
from penstock.policy.prices import compile_prices, priced_kinds
from penstock.policy.routes import compile_models, compile_patterns
from penstock.policy.upstreams import compile_provider, compile_timeouts
from penstock.providers.catalogue import Catalogue
from penstock.providers.prices import load_prices
from penstock.providers.resolve import resolve

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class Facts(NamedTuple):
    """What the snapshot depends on beside the configuration."""

    environ: Mapping[str, str]
    memory_bytes: int
    log_format: str


def compile_snapshot(config: Config, catalogue: Catalogue, facts: Facts, revision: int) -> snapshot.Snapshot:
    """The document of a checked configuration; raises `ProxyError` when a proxy variable cannot be understood."""
    upstreams = {name: resolve(name, given, catalogue, facts.environ) for name, given in config.providers.items()}
    body = config.body
    inflight = body.max_inflight_bytes
    if inflight == "auto":
        inflight = auto_inflight_bytes(facts.memory_bytes, body.max_bytes)
    return snapshot.Snapshot(
        format=snapshot.FORMAT,
        revision=revision,
        auth=config.auth,
        trusted_proxies=tuple(str(ipaddress.ip_network(text)) for text in config.trusted_proxies),
        allowed_hosts=_allowed_hosts(config),
        timeouts=compile_timeouts(config.timeouts),
        max_attempts=config.max_attempts,
        keepalive_ms=config.keepalive,
        body=snapshot.Body(body.max_bytes, inflight),
        log=snapshot.Log(config.log.level, facts.log_format, config.log.access),
        tls=snapshot.Tls(os.path.abspath(config.tls.ca_file) if config.tls.ca_file else None),
        providers=tuple(
            compile_provider(name, given, upstreams[name], config, facts.environ)
            for name, given in config.providers.items()
        ),
        models=compile_models(config),
        patterns=compile_patterns(config, upstreams),
        default_provider=config.default_provider,
        limits=compile_limits(config.limits),
        content=_content(config),
        prices=compile_prices(config.prices, load_prices(priced_kinds(upstreams))),
    )


def _content(config: Config) -> snapshot.Content | None:
    wanted = config.audit.content
    if not (wanted.prompts or wanted.answers) or config.journal.durability == "none":
        return None
    return snapshot.Content(wanted.prompts, wanted.answers, wanted.max_bytes, wanted.redact)


def _allowed_hosts(config: Config) -> tuple[str, ...]:
    """The names that `Host` may carry while anyone may call: this machine's. Any: with keys, or over Unix sockets."""
    if config.auth == "keys":
        return ()
    listeners = [parse_listen(text) for text in (*config.listen, *config.admin.listen)]
    hosts = [address.host for address in listeners if not address.path]
    return tuple(dict.fromkeys((*LOOPBACK_NAMES, *hosts))) if hosts else ()


def encode(document: snapshot.Snapshot) -> bytes:
    """The bytes that cross."""
    return msgspec.json.encode(document, enc_hook=str)  # text written with references is a kind of its own
