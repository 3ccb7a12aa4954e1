"""Gives every provider that the deployments need a name, and keeps secrets out of the file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from penstock.importers.litellm.notes import Notes
from penstock.importers.litellm.specs import Spec
from penstock.importers.litellm.values import Value, escape
from penstock.providers.catalogue import Catalogue

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
_NO_LETTER = re.compile(r"[^A-Z0-9]+")


class Providers:
    """Equal specs share a provider. `taken`: variables that the LiteLLM file uses for something already."""

    def __init__(self, catalogue: Catalogue, taken: Iterable[str], notes: Notes) -> None:
        self.catalogue = catalogue
        self.notes = notes
        self._specs: dict[str, Spec] = {}
        self._names: dict[Spec, str] = {}
        self._taken = set(taken)
        self._bases: dict[str, int] = {}

    def claim(self, name: str, spec: Spec) -> str | None:
        """Gives a spec this very name, so that `name/model` leads there. Returns why it cannot have it, else None."""
        if not _NAME.match(name):
            return "a provider cannot have that name"
        if spec.kind is None and name in self.catalogue and self.catalogue[name].base_url is None:
            return f"the name {name} belongs to that vendor, whose key would be sent to this server"
        if self._specs.get(name, spec) != spec:
            return "one name leads to one provider only, and the first one has it"
        self._specs[name] = spec
        self._names.setdefault(spec, name)
        return None

    def name(self, spec: Spec) -> str:
        """The name of the provider for a spec; the same every time."""
        if spec not in self._names:
            name = self._free(spec)
            self._names[spec], self._specs[name] = name, spec
        return self._names[spec]

    def spec(self, name: str) -> Spec | None:
        """What is behind a name."""
        return self._specs.get(name)

    def dialects(self, name: str) -> frozenset[str]:
        """What a provider speaks."""
        kind = self._specs[name].kind
        return frozenset(self.catalogue[kind].dialects) if kind else frozenset(("openai",))

    def plain(self, paths: Mapping[Spec, list[str]]) -> dict[str, object]:
        """The section `providers`. `paths`: where in the LiteLLM file each spec comes from."""
        for spec in self._names:
            usual = self.catalogue[spec.kind].env if spec.kind else None
            if usual and spec.api_key is None:
                self._taken.add(usual)
        return {name: self._plain(name, paths[spec]) for name, spec in self._specs.items()}

    def _free(self, spec: Spec) -> str:
        kinds = self.catalogue
        wishes = [spec.kind] if spec.kind else []
        if spec.base_url:
            label = spec.label if _NAME.match(spec.label) else "server"
            wishes.append(
                f"{spec.kind}-{label}"[:60] if spec.kind else label if label not in kinds else f"{label}-openai"
            )
        for wish in wishes:
            if wish and wish not in self._specs and _NAME.match(wish):
                return wish
        base = wishes[-1] or "server"
        at = self._bases.get(base, 2)  # so that ten thousand keys of one vendor are counted once
        while f"{base}-{at}" in self._specs:
            at += 1
        self._bases[base] = at + 1
        return f"{base}-{at}"

    def _plain(self, name: str, paths: list[str]) -> dict[str, object]:
        spec = self._specs[name]
        made: dict[str, object] = {}
        if spec.kind and spec.kind != name:
            made["kind"] = spec.kind
        if spec.kind is None:
            made["dialect"] = "openai"
            if name in self.catalogue:  # nothing of the entry of that name is meant
                made |= {"auth": {"header": "authorization", "prefix": "Bearer "}, "supports_stream_usage": False}
                made |= {"forward_headers": [], "patterns": []}
        if spec.base_url:
            made["base_url"] = spec.base_url
        if spec.api_key:
            made["api_key"] = self._written(spec.api_key, f"{name}_API_KEY", "api_key", name, paths)
        sent = dict(spec.headers)
        if sent:
            made["headers"] = {
                header: self._written(value, f"{name}_{header}", f"headers.{header}", name, paths)
                for header, value in sent.items()
            }
        if spec.query:
            made["query"] = self._written(spec.query, f"{name}_QUERY", "query", name, paths)
        return made

    def _written(self, value: Value, wish: str, field: str, provider: str, paths: list[str]) -> str:
        """A value as it stands in the file; what may be secret becomes a variable to be set."""
        if value.form == "env":
            return f"${{env:{value.text}}}"
        if value.form == "plain":
            return escape(value.text)
        name = self._variable(wish)
        there = {"api_key": "api_key", "query": "api_base"}.get(field, field.replace("headers.", "extra_headers."))
        reason = (
            f"stands there in clear; it is not copied: set the variable {name} to it for providers.{provider}.{field}"
        )
        for path in paths:
            self.notes.add(f"{path}.{there}", reason)
        return f"${{env:{name}}}"

    def _variable(self, wish: str) -> str:
        name = _NO_LETTER.sub("_", wish.upper()).strip("_")
        name = f"_{name}" if name[:1].isdigit() else name
        number, base = 2, name
        while name in self._taken:
            name, number = f"{base}_{number}", number + 1
        self._taken.add(name)
        return name
