"""What `make profile` refuses to take counts from."""

from pathlib import Path
from typing import cast

import pytest

from bench import train
from bench.load import Mock
from bench.machine import BenchError
from bench.rows import Table
from bench.sides import Side


def ended(exit_code: int | None, at: Path) -> Side:
    return Side("penstock", cast("Mock", None), at, exit_code=exit_code)


def test_a_side_that_was_killed_has_written_no_counts(tmp_path: Path) -> None:
    train._check([ended(0, tmp_path)], Table())
    for code in (-9, 1, None):
        with pytest.raises(BenchError, match=f"ended with {code}"):
            train._check([ended(0, tmp_path), ended(code, tmp_path)], Table())


def test_a_void_row_is_a_load_that_was_not(tmp_path: Path) -> None:
    table = Table()
    table.void(["requests"], "connection refused")
    with pytest.raises(BenchError, match="connection refused"):
        train._check([ended(0, tmp_path)], table)


def test_the_trees_own_extension_counts_nothing() -> None:
    with pytest.raises(BenchError, match=r"scripts/profile\.sh"):
        train.main("loads")
