"""The package: one version, typed, and files short enough to read."""

from __future__ import annotations

import tomllib
from pathlib import Path

from penstock import __version__

ROOT = Path(__file__).parents[2]


def test_python_and_native_have_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())
    assert project["project"]["version"] == __version__ == workspace["workspace"]["package"]["version"]


def test_every_module_says_what_it_is_for_on_its_first_line() -> None:
    files = [path for path in (ROOT / "python/penstock").rglob("*.py") if path.name != "__init__.py"]
    assert files
    assert [path for path in files if not path.read_text().startswith('"""')] == []
