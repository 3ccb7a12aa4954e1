"""Loads what was written with Penstock's own reader, as if every variable it needs were set."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import NamedTuple

from penstock.config.load import load
from penstock.config.model import EnvPart
from penstock.config.prices import unpriced
from penstock.config.problem import ConfigError, dotted
from penstock.config.references import split
from penstock.importers.litellm.notes import Note, printable
from penstock.policy.names import Names
from penstock.providers.catalogue import Catalogue

_ADDRESS = "http://placeholder.invalid"
_WORD = "placeholder"


class Tried(NamedTuple):
    """`names`: the models that it routes; `variables`: what the environment must have, in order.

    `names` is None, and `problems` is what `penstock check` would still say, when it does not pass.
    """

    names: Names | None
    variables: list[str]
    problems: list[Note]
    unpriced: list[str]
    """Targets that a budget would refuse."""


def run(text: str, plain: dict[str, object], catalogue: Catalogue, name: str) -> Tried:
    """`text`: the file without comments; `name`: what it will be called."""
    assumed = _assumed(plain, catalogue)
    with tempfile.TemporaryDirectory(prefix="penstock-import-") as directory:
        file = os.path.join(directory, "penstock.yaml")
        with open(file, "w", encoding="utf-8") as stream:
            stream.write(text)
        try:
            config = load(file, assumed).config
        except ConfigError as error:
            problems = [
                Note(
                    f"{name}: {printable(dotted(problem.path))}".rstrip(": "),
                    f"{problem.message} {problem.hint}".strip(),
                )
                for problem in error.problems
            ]
            return Tried(None, list(assumed), problems, [])
    return Tried(Names(config, catalogue, assumed), list(assumed), [], unpriced(config, catalogue, assumed))


def _assumed(plain: dict[str, object], catalogue: Catalogue) -> dict[str, str]:
    """A value for each variable of the file, and for those that the kinds of its providers look for."""
    assumed: dict[str, str] = {}
    providers = plain.get("providers")
    for name, provider in providers.items() if isinstance(providers, dict) else ():
        for key, value in provider.items():
            for variable in _variables(value):
                if key == "base_url":
                    assumed[variable] = _ADDRESS
                else:
                    assumed.setdefault(variable, _WORD)
        kind = catalogue.get(provider.get("kind", name))
        at_home = kind is not None and ("base_url" not in provider or kind.base_url is None)
        if kind is not None and kind.env and at_home and "api_key" not in provider and "dialect" not in provider:
            assumed.setdefault(kind.env, _WORD)
    return assumed


def _variables(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield from (part.env for part in split(value) if isinstance(part, EnvPart))
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _variables(inner)
