"""Tables dumped as CSV, JSON and JSON lines; what is none is refused with its place."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from penstock.config.problem import ConfigError
from penstock.importers.litellm import dump
from penstock.importers.litellm.dump import Row, rows

SAME = [Row(2, {"token": "t1", "models": "{a,b}"}), Row(3, {"token": "t2", "models": None})]


def read(tmp_path: Path, text: str) -> list[Row]:
    file = tmp_path / "dump"
    file.write_text(text)
    return list(rows(str(file), "token"))


def test_csv_has_a_header_and_empty_cells_say_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, 'token,models\nt1,"{a,b}"\nt2,\n') == SAME


@pytest.mark.parametrize(
    "text",
    [
        '[{"token": "t1", "models": ["a"]}, {"token": "t2", "models": null}]',
        '{"token": "t1", "models": ["a"]}\n{"token": "t2", "models": null}\n',
        '{"keys": [{"token": "t1", "models": ["a"]}, {"token": "t2", "models": null}], "total": 2}',
        '\ufeff[{"token":"t1","models":["a"]},\n{"token":"t2","models":null}]',
    ],
)
def test_json_may_be_a_list_lines_or_the_answer_of_the_api(tmp_path: Path, text: str) -> None:
    assert [row.cells for row in read(tmp_path, text)] == [
        {"token": "t1", "models": ["a"]},
        {"token": "t2", "models": None},
    ]


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 0, 0, "holds nothing"),
        ("id,name\n1,2\n", 2, 1, "there is no column token"),
        ("just words\n", 1, 1, "neither CSV"),
        ("token,models\nt1\n", 2, 1, "has 1 columns, and the header 2"),
        ('token,models\nt1,"x" y\n', 2, 1, "is not CSV"),
        ('[{"token": "a"},\n {"token": }]', 2, 12, "malformed"),
        ('{"token": "a"}\n{"token": \n', 2, 11, "truncated"),
        ("[1]", 0, 0, "row 1 is not an object"),
        ("[" * 100_000, 1, 1, "nested too deep"),
        ("token\n" + "x" * (dump.MAX_CELL + 1), 2, 1, "is not CSV: field larger"),
    ],
)
def test_what_is_no_such_table_is_refused_with_its_place(
    tmp_path: Path, text: str, line: int, column: int, message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, text)
    problem = error.value.problems[0]
    assert message in problem.message
    assert problem.mark.line == line
    assert problem.mark.column == column


def test_a_dump_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "dump"
    file.touch()
    os.truncate(file, dump.MAX_BYTES + 1)
    with pytest.raises(ConfigError, match="is larger than 256 MiB"):
        list(rows(str(file), "token"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, []),
        ("", []),
        ("{}", []),
        ("{a,b}", ["a", "b"]),
        ('{"a b","c\\"d","e\\\\f",NULL, g }', ["a b", 'c"d', "e\\f", "g"]),
        ('["a", "b"]', ["a", "b"]),
        (["a"], ["a"]),
    ],
)
def test_lists_come_in_three_ways(value: Any, expected: list[str]) -> None:
    assert dump.words(value) == expected


@pytest.mark.parametrize("value", [5, "a", '{"a":1}', "[1]", [1], '{"a', {"a": 1}])
def test_what_is_no_list_is_an_error(value: Any) -> None:
    with pytest.raises(ValueError, match="expected a list"):
        dump.words(value)


@pytest.mark.parametrize(
    "text",
    ["2030-01-02 03:04:05", "2030-01-02T03:04:05Z", "2030-01-02 05:04:05+02", "2030-01-02T03:04:05.000+00:00"],
)
def test_times_are_utc_unless_they_say_otherwise(text: str) -> None:
    assert dump.moment(text) == datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
