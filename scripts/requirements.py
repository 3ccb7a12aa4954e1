"""Prints what pip has to install: what the package needs to run and be built, with --dev also tools and tests."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).resolve().parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
if "--dev" in sys.argv[1:]:
    wanted += project["project"]["optional-dependencies"]["dev"]
print("\n".join(wanted))
