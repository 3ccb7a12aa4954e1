"""Refuses files that are too long or do not begin by saying what they are for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 600
LONG = 400
# What a first line begins with, by the end of the file's name.
OPENINGS = {
    ".rs": ("//! ",),
    ".py": ('"""', 'r"""'),
    ".pyi": ('"""',),
    ".toml": ("# ", "[package]"),
    ".yaml": ("# ",),
    ".yml": ("# ",),
    ".sh": ("# ",),
    "Makefile": ("# ",),
    "Dockerfile": ("# ",),
    ".conf": ("# ",),
    ".lua": ("-- ",),
    ".sql": ("-- ",),
}
# Long by nature: lists that people read from the top, and pages.
UNBOUNDED = (".md", ".lock", ".json", ".snap", ".txt", "LICENSE", "catalogue.yaml", "prices.yaml")


def faults(name: str, lines: list[str]) -> list[str]:
    """What is wrong with this file, if anything."""
    found = []
    if len(lines) > LONGEST and not name.endswith(UNBOUNDED):
        found.append(f"{len(lines)} lines: split it by duty (at most {LONGEST})")
    if lines and lines[0].startswith("#!"):
        lines = lines[1:]
        openings: tuple[str, ...] = ("# ", '"""')
    else:
        openings = next((opening for end, opening in OPENINGS.items() if name.endswith(end)), ())
    if lines and openings and not lines[0].startswith(openings):
        found.append(f"the first line does not say what the file is for (it begins with {openings[0]!r})")
    elif lines and openings and len(lines[0].strip("#/! \"'")) < len("a word"):
        found.append("the first line says nothing")
    return found


def main() -> int:
    """Returns 1 when a file breaks a rule."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    failed = False
    for name in sorted(listed.stdout.decode().split("\0")):
        path = ROOT / name
        if not name or "/data/" in name or "/corpus/" in name or not path.is_file():
            continue
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        for fault in faults(name, lines):
            print(f"{name}: {fault}")
            failed = True
        if LONG < len(lines) <= LONGEST and not name.endswith(UNBOUNDED):
            print(f"note: {name} has {len(lines)} lines; why more than {LONG}?")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
