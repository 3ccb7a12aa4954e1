"""References inside values."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.config.model import EnvPart, FilePart, TextPart
from penstock.config.references import MAX_FILE_BYTES, resolve, split


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", (TextPart(""),)),
        ("plain $x {y}", (TextPart("plain $x {y}"),)),
        ("${env:A}", (EnvPart("A"),)),
        ("${env:A:-b:-c}", (EnvPart("A", "b:-c"),)),
        ("${env:A:-}", (EnvPart("A", ""),)),
        ("a ${file:/b} c ${env:D}", (TextPart("a "), FilePart("/b"), TextPart(" c "), EnvPart("D"))),
        ("$${env:A}", (TextPart("${env:A}"),)),
    ],
)
def test_a_value_is_split_into_text_and_references(text: str, parts: tuple[object, ...]) -> None:
    assert split(text) == parts


@pytest.mark.parametrize(
    "text", ["${env:A", "${env}", "${env:}", "${env:A-B}", "${file:b}", "${A}", "${vault:a}", "${}"]
)
def test_a_reference_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"reference|needs"):
        split(text)


def test_an_empty_variable_counts_as_missing_as_in_a_shell() -> None:
    assert resolve(EnvPart("A", "d"), {"A": ""}) == "d"
    assert resolve(EnvPart("A", "d"), {"A": "v"}) == "v"
    with pytest.raises(ValueError, match="A is empty"):
        resolve(EnvPart("A"), {"A": ""})


def test_a_file_loses_its_last_line_break_and_has_a_bound(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"value\r\n")
    assert resolve(FilePart(str(secret)), {}) == "value"
    secret.write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    with pytest.raises(ValueError, match="larger than 64 KiB"):
        resolve(FilePart(str(secret)), {})
    secret.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="not UTF-8"):
        resolve(FilePart(str(secret)), {})
