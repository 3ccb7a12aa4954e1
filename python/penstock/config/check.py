"""The rules that hold between fields: everything wrong at once, each with its place and what to do."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Mapping as Environ

from penstock.config import check_content, check_limits, check_providers, check_shared, check_sinks, check_store, tokens
from penstock.config.addresses import Listen, parse_listen
from penstock.config.model import (
    Config,
    Model,
    Provider,
    Referenced,
    Target,
    Timeouts,
    TimeoutsOverride,
    as_written,
    overlay,
)
from penstock.config.problem import Mark, Path, Problem, did_you_mean
from penstock.config.read import Reader
from penstock.policy.proxy import ProxyError, proxy_for
from penstock.providers.catalogue import Catalogue
from penstock.providers.resolve import Unresolved, Upstream, resolve

NEEDED = ("connect", "header_read", "body_read_idle", "client_idle")


class Findings:
    """Notes problems at the place of a path; what the reader refused already is not said twice."""

    def __init__(self, reader: Reader, root: Mark) -> None:
        self.reader, self.root = reader, root

    def add(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> None:
        """`key`: point at the name rather than at what stands behind it; a missing field is shown at its owner."""
        if any(path[: len(wrong)] == wrong[: len(path)] for wrong in self.reader.wrong):
            return  # it, something around it or something inside it
        keys, values = self.reader.keys, self.reader.values
        owners = (path[:n] for n in range(len(path), 0, -1) if path[:n] in keys)
        place = values.get(path) if not key else None
        place = place or next((keys[owner] for owner in owners), self.root)
        self.reader.problems.append(Problem(place, path, message, hint))


def check(config: Config, catalogue: Catalogue, environ: Environ[str, str], reader: Reader, root: Mark) -> None:
    """Adds to the reader's problems."""
    found = Findings(reader, root)
    _listeners(config, found)
    _networks(config, found)
    _bounds(config, found)
    _files(config, found)
    check_store.check(config.store, found)
    check_shared.check(config.shared, found)
    check_sinks.check(config, found)
    check_content.check(config, found)
    tokens.check(config.admin.tokens, environ, found)
    if not config.providers and ("providers",) not in reader.wrong:
        found.add(("providers",), "no provider is configured", _first_provider(root))
    upstreams: dict[str, Upstream] = {}
    for name, provider in config.providers.items():
        try:
            upstreams[name] = resolve(name, provider, catalogue, environ)
        except Unresolved as missing:
            path = ("providers", name, *missing.path)
            found.add(path, missing.message, missing.hint, key=not missing.path)
        else:
            _proxy(upstreams[name], environ, reader)
        known = upstreams.get(name)
        carrier = known.auth.header.lower() if known and known.api_key else None
        check_providers.check(name, provider, carrier, found)
        _timeouts(("providers", name, "timeouts"), provider.timeouts, [config.timeouts], found)
    for name, model in config.models.items():
        _model(name, model, config, upstreams, found)
    check_limits.check(config, upstreams, reader.wrong, found)
    if config.default_provider is not None and config.default_provider not in config.providers:
        hint = did_you_mean(config.default_provider, config.providers)
        found.add(("default_provider",), f"{config.default_provider!r} is not among the providers", hint)


def _first_provider(root: Mark) -> str:
    example = 'providers: {openai: {api_key: "${env:OPENAI_API_KEY}"}}'
    if root.line:
        return f"write {example}"
    return f"set OPENAI_API_KEY, ANTHROPIC_API_KEY or OLLAMA_HOST, or write penstock.yaml with {example}"


def _listeners(config: Config, found: Findings) -> None:
    seen: dict[Listen, str] = {}
    groups: list[tuple[Path, tuple[str, ...]]] = [(("listen",), config.listen)]
    groups.append((("admin", "listen"), config.admin.listen))
    for path, texts in groups:
        if not texts:
            found.add(path, "names no address", "such as 127.0.0.1:4000")
        for index, text in enumerate(texts):
            place = (*path, index) if (*path, index) in found.reader.values else path
            try:
                address = parse_listen(text)
            except ValueError as error:
                # The advice repeats pieces of the text, which a reference may have brought.
                message = "expected host:port or unix:/path" if isinstance(text, Referenced) else str(error)
                found.add(place, f"{message}, not {text!r}")
                continue
            shown = as_written(text) if isinstance(text, Referenced) else str(address)
            if address in seen and (address.path or address.port):
                twice = (
                    "is listened on twice" if seen[address] == path[0] else "is already the address of the data port"
                )
                hint = "" if seen[address] == path[0] else "the admin port is a port of its own"
                found.add(place, f"{shown} {twice}", hint)
            seen.setdefault(address, str(path[0]))
            if config.auth == "open" and not address.is_private:
                message = f"{shown} can be reached from other machines, and auth: open lets everyone in"
                found.add(place, message, "write auth: keys, or listen on 127.0.0.1, [::1] or unix:/path")


def _networks(config: Config, found: Findings) -> None:
    for index, text in enumerate(config.trusted_proxies):
        try:
            ipaddress.ip_network(text)
        except ValueError:
            hint = "such as 10.0.0.0/8 or 192.0.2.7"
            with contextlib.suppress(ValueError):
                hint = f"did you mean '{ipaddress.ip_network(text, strict=False)}'?"
            if isinstance(text, Referenced):
                hint = ""
            found.add(("trusted_proxies", index), f"expected an address or a network, not {text!r}", hint)


def _bounds(config: Config, found: Findings) -> None:
    for name in NEEDED:
        if getattr(config.timeouts, name) == 0:
            found.add(("timeouts", name), "0 would wait for ever", "only first_token, between_bytes and total may be 0")
    times = config.timeouts
    if 0 < times.total < times.connect:
        found.add(("timeouts", "total"), "is shorter than connect")
    inflight = config.body.max_inflight_bytes
    if inflight != "auto" and inflight < config.body.max_bytes:
        found.add(("body", "max_inflight_bytes"), "is smaller than max_bytes", "one largest body must fit")


def _proxy(upstream: Upstream, environ: Environ[str, str], reader: Reader) -> None:
    try:
        proxy_for(next(iter(upstream.bases.values())), environ)
    except ProxyError as error:
        problem = Problem(Mark(error.variable), (), str(error), error.hint)
        if problem not in reader.problems:
            reader.problems.append(problem)


def _timeouts(path: Path, times: TimeoutsOverride, usual: list[Timeouts], found: Findings) -> None:
    """`usual`: what they lie over."""
    if times.connect == 0:
        found.add((*path, "connect"), "0 would wait for ever")
    if times.connect is None and times.total is None:
        return
    if any(0 < limits.total < limits.connect for limits in (overlay(below, times) for below in usual)):
        place = "connect" if times.total is None else "total"
        found.add((*path, place), "is longer than total" if times.total is None else "is shorter than connect")


def _files(config: Config, found: Findings) -> None:
    if not config.data_dir:
        found.add(("data_dir",), "names no directory")
    if config.tls.ca_file is None:
        return
    try:
        with open(config.tls.ca_file, "rb") as file:
            if b"-----BEGIN CERTIFICATE-----" not in file.read(16 << 20):
                found.add(("tls", "ca_file"), f"{as_written(config.tls.ca_file)} holds no PEM certificate")
    except OSError as error:
        found.add(("tls", "ca_file"), f"cannot read {as_written(config.tls.ca_file)}: {error.strerror}")


def _model(name: str, model: Model, config: Config, upstreams: dict[str, Upstream], found: Findings) -> None:
    path: Path = ("models", name)
    if not name or name.count("*") > 1 or not name.isprintable() or " " in name or len(name) > 256:
        found.add(path, "a model's name is printable, without spaces, with at most one *", key=True)
    if not model.targets:
        advice = "such as targets: [{provider: openai}]"
        found.add((*path, "targets"), "is empty: nothing would serve this model", advice)
    if model.timeouts is not None:
        served_by = [config.providers.get(t.provider, Provider()) for t in (*model.targets, *model.fallback)]
        usual = [overlay(config.timeouts, provider.timeouts) for provider in served_by]
        _timeouts((*path, "timeouts"), model.timeouts, usual, found)
    for group, targets in (("targets", model.targets), ("fallback", model.fallback)):
        seen: set[tuple[str, str | None]] = set()
        for index, target in enumerate(targets):
            _target((*path, group, index), target, config, found)
            if (target.provider, target.model) in seen:
                found.add((*path, group, index), "stands twice in this list", "use weight for a larger share")
            seen.add((target.provider, target.model))
    _one_credential(path, model, config, upstreams, found)
    every = [upstreams[t.provider] for t in (*model.targets, *model.fallback) if t.provider in upstreams]
    if every and not set.intersection(*({*upstream.bases} for upstream in every)):
        speaks = dict.fromkeys(
            f"{t.provider} speaks {' and '.join(upstreams[t.provider].bases)}"
            for t in (*model.targets, *model.fallback)
            if t.provider in upstreams
        )
        advice = "requests are not translated: give each dialect a model of its own"
        found.add(path, f"targets and fallbacks share no dialect: {', '.join(speaks)}", advice, key=True)


def _one_credential(path: Path, model: Model, config: Config, upstreams: dict[str, Upstream], found: Findings) -> None:
    """The caller sends one credential: it cannot be for two addresses."""
    first: str | None = None
    for group, targets in (("targets", model.targets), ("fallback", model.fallback)):
        for index, target in enumerate(targets):
            name = target.provider
            if name not in upstreams or config.providers[name].credentials != "client":
                continue
            first = first or name
            bases, others = upstreams[name].bases, upstreams[first].bases
            if any(bases[dialect] != others[dialect] for dialect in bases.keys() & others.keys()):
                message = f"{name} has another address than {first}, and both have credentials: client"
                advice = "the caller sends one credential: give each provider a model of its own"
                found.add((*path, group, index), message, advice)


def _target(path: Path, target: Target, config: Config, found: Findings) -> None:
    if not target.provider:
        found.add((*path, "provider"), "is missing", "which of the providers?")
    elif target.provider not in config.providers:
        hint = did_you_mean(target.provider, config.providers)
        found.add((*path, "provider"), f"{target.provider!r} is not among the providers", hint)
    if target.model is not None and (not target.model or "*" in target.model or not target.model.isprintable()):
        found.add(
            (*path, "model"), "expected the provider's own name of a model", "leave it out to pass the asked name"
        )
