#!/usr/bin/env python3
"""Writes the classes of characters that the pre-splitter of tokens tells apart, from the crate regex-syntax.

Usage: scripts/unicode_classes.py ~/.cargo/registry/src/*/regex-syntax-*/

tiktoken splits with that crate's tables, so these are its version of Unicode. A line of the result is a class and its
ranges in hexadecimal: U Lu and Lt, L Ll, B Lm and Lo, M marks, N numbers, S \\s. Whatever is in none is other.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

CLASSES = {
    "U": ["UPPERCASE_LETTER", "TITLECASE_LETTER"],
    "L": ["LOWERCASE_LETTER"],
    "B": ["MODIFIER_LETTER", "OTHER_LETTER"],
    "M": ["MARK"],
    "N": ["NUMBER"],
    "S": ["WHITE_SPACE"],
}
TARGET = Path(__file__).resolve().parent.parent / "native" / "core" / "src" / "tokens" / "classes.txt"
RANGE = re.compile(r"\('((?:[^'\\]|\\.[^']*)+)', '((?:[^'\\]|\\.[^']*)+)'\)")
ESCAPES = {"\\t": 9, "\\n": 10, "\\r": 13, "\\'": 39, "\\\\": 92}


def _number(literal: str) -> int:
    """The code point of what stands in a character literal of Rust."""
    if literal.startswith("\\u{"):
        return int(literal[3:-1], 16)
    return ESCAPES.get(literal) or ord(literal)


def ranges(source: str, name: str) -> list[tuple[int, int]]:
    """The ranges of a constant, first and last included."""
    found = re.search(rf"pub const {name}: [^=]*=\s*&\[(.*?)\];", source, re.DOTALL)
    if not found:
        raise SystemExit(f"no {name} in the crate's tables")
    return [(_number(a), _number(b)) for a, b in RANGE.findall(found[1])]


def joined(pieces: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same characters in the fewest ranges, in order."""
    done: list[tuple[int, int]] = []
    for first, last in sorted(pieces):
        if done and done[-1][1] + 1 == first:
            done[-1] = (done[-1][0], last)
        else:
            done.append((first, last))
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("crate", type=Path, help="the unpacked source of regex-syntax")
    crate = parser.parse_args().crate
    tables = crate / "src" / "unicode_tables"
    # `perl_space` has \s where the crate is built small; the property is the same.
    source = "".join((tables / name).read_text() for name in ("general_category.rs", "perl_space.rs"))
    version = re.search(r"Unicode version: ([0-9.]+)\.\n", source)
    if not version:
        raise SystemExit("the crate's tables do not say which version of Unicode they are")
    lines = [f"# Unicode {version[1]}, from {crate.name}; written by scripts/unicode_classes.py."]
    for name, constants in CLASSES.items():
        pieces = joined([piece for constant in constants for piece in ranges(source, constant)])
        words = (f"{first:x}" if first == last else f"{first:x}-{last:x}" for first, last in pieces)
        lines.append(" ".join((name, *words)))
    TARGET.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
