"""Native's example binaries, which answer in the place of the library."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def example(name: str) -> str:
    """The path of one; built by cargo unless `PENSTOCK_<NAME>` names it."""
    variable = f"PENSTOCK_{name.upper()}"
    if path := os.environ.get(variable):
        return path
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip(f"needs cargo, or {variable} naming the built example {name}")
    # Without `-p`: with it features differ from those of `cargo test`, and all of it would be compiled again.
    command = [cargo, "build", "--quiet", "--locked", "--example", name, "--message-format=json"]
    lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    artifacts = (json.loads(line) for line in lines)
    return next(str(a["executable"]) for a in artifacts if a.get("executable"))
