"""The table of error codes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from penstock.errors import ADMIN_TABLE, TABLE

RUST = Path(__file__).parents[2] / "native/core/src/error.rs"


def test_a_code_stands_once_with_a_meaning_and_a_remedy() -> None:
    rows = (*TABLE, *ADMIN_TABLE)
    assert len({row.code for row in rows}) == len(rows)
    assert all(row.meaning and row.remedy and 400 <= row.status <= 599 for row in rows)


def test_the_table_is_the_one_in_the_source_of_native() -> None:
    found = re.findall(r'^    \w+ "(\w+)" (\d{3}) \w+,$', RUST.read_text(), re.MULTILINE)
    assert [(row.code, row.status) for row in TABLE] == [(code, int(status)) for code, status in found]


@pytest.mark.native
def test_the_table_is_the_one_that_native_was_built_with() -> None:
    native = pytest.importorskip("penstock._native")
    assert [(row.code, row.status) for row in TABLE] == list(native.error_codes())
