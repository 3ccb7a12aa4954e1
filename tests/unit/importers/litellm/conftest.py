"""What the tests of the LiteLLM importer share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from penstock.config.problem import ConfigError, Problem
from penstock.importers.litellm.convert import Converted, convert


class Imported(NamedTuple):
    """The written file as plain data, the reasons by path (several joined), and everything else that came out."""

    plain: dict[str, Any]
    reasons: dict[str, str]
    whole: Converted

    @property
    def providers(self) -> dict[str, Any]:
        return dict(self.plain.get("providers", {}))

    @property
    def models(self) -> dict[str, Any]:
        return dict(self.plain.get("models", {}))


Import = Callable[..., Imported]


@pytest.fixture
def bring(tmp_path: Path) -> Import:
    """Imports the text of a configuration; its result must pass Penstock's own reader unless said otherwise."""

    def from_text(text: str, *, passes: bool = True, **others: str) -> Imported:
        for name, content in others.items():
            (tmp_path / f"{name}.yaml").write_text(content)
        file = tmp_path / "config.yaml"
        file.write_text(text)
        whole = convert(str(file))
        assert (whole.problems == []) == passes, whole.problems
        reasons: dict[str, str] = {}
        for note in whole.notes:
            reasons[note.path] = f"{reasons[note.path]} | {note.reason}" if note.path in reasons else note.reason
        return Imported(yaml.safe_load(whole.text), reasons, whole)

    return from_text


@pytest.fixture
def refused(tmp_path: Path) -> Callable[[str], list[Problem]]:
    """The problems of a text that is no LiteLLM configuration."""

    def from_text(text: str) -> list[Problem]:
        file = tmp_path / "config.yaml"
        file.write_text(text)
        with pytest.raises(ConfigError) as error:
            convert(str(file))
        return list(error.value.problems)

    return from_text
