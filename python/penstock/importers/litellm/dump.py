"""Rows of a table that was dumped from LiteLLM's database: CSV with a header, a JSON array, or JSON lines."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from penstock.config.problem import ConfigError
from penstock.importers.litellm.files import read, refused

MAX_BYTES = 256 << 20
MAX_ROWS = 1_000_000
MAX_CELL = 1 << 20
_BYTE = re.compile(r"\(byte (\d+)\)")
_ELEMENT = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^",{}]*))\s*(,|\Z)', re.DOTALL)


class Row(NamedTuple):
    """One row; `line`: where it stands, counted from 1 (of a JSON array: the number of the row)."""

    line: int
    cells: dict[str, object]


def rows(file: str, needed: str) -> Iterator[Row]:
    """`needed`: the column that every row has. Raises `ConfigError` for what is no such table, with line and column."""
    content = read(file, MAX_BYTES)
    begin = content.lstrip()[:1]
    if not begin:
        raise refused(file, "holds nothing")
    found = _json(content, file) if begin in "[{" else _csv(content, file)
    for count, row in enumerate(found):
        if count == 0 and needed not in row.cells:
            hint = "dump every column of the table, with a header: docs/migrating-from-litellm.md has the command"
            raise refused(file, f"there is no column {needed}", hint, line=row.line, column=1)
        if count == MAX_ROWS:
            raise refused(file, f"has more than {MAX_ROWS} rows", line=row.line, column=1)
        yield row


def _csv(content: str, file: str) -> Iterator[Row]:
    csv.field_size_limit(MAX_CELL)
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    header: list[str] | None = None
    try:
        for cells in reader:
            if header is None:
                header = [cell.strip() for cell in cells]
            elif cells:
                if len(cells) != len(header):
                    message = f"has {len(cells)} columns, and the header {len(header)}"
                    raise refused(file, message, line=reader.line_num, column=1)
                yield Row(reader.line_num, {n: c if c != "" else None for n, c in zip(header, cells, strict=True)})
    except csv.Error as error:
        raise refused(file, f"is not CSV: {error}", line=reader.line_num, column=1) from None
    if header is not None and "token" not in header and "team_id" not in header:
        raise refused(file, "is neither CSV with a header line nor JSON", line=1, column=1)


def _json(content: str, file: str) -> Iterator[Row]:
    try:
        whole = _decode(content, file, 1)
    except ConfigError:
        lines = content.split("\n")
        if not content.lstrip().startswith("{") or len([line for line in lines if line.strip()]) < 2:
            raise
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _row(number, _decode(line, file, number), file)
        return
    if isinstance(whole, dict):
        inner = next(
            (whole[key] for key in ("keys", "data", "teams", "rows") if isinstance(whole.get(key), list)), None
        )
        whole = [whole] if inner is None else inner
    if not isinstance(whole, list):
        raise refused(file, "expected a list of rows", line=1, column=1)
    for number, row in enumerate(whole, 1):
        yield _row(number, row, file)


def _decode(content: str, file: str, line: int) -> object:
    data = content.encode()
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        at = _BYTE.search(str(error))
        before = data[: int(at[1])] if at else data
        message = _BYTE.sub("", str(error)).strip()
        column = len(before) - (before.rfind(b"\n") + 1) + 1
        raise refused(file, message, line=line + before.count(b"\n"), column=column) from None
    except RecursionError:
        raise refused(file, "is nested too deep", line=line, column=1) from None


def _row(number: int, row: object, file: str) -> Row:
    if not isinstance(row, dict):
        raise refused(file, f"row {number} is not an object")
    return Row(number, {str(name): value for name, value in row.items()})


def word(value: object) -> str | None:
    """Text, or None for anything else and for what means nothing."""
    return value if isinstance(value, str) and value not in ("", "None", "null", "NULL") else None


def flag(value: object) -> bool:
    """A boolean of JSON or of PostgreSQL's text."""
    return value is True or (isinstance(value, str) and value.lower() in ("t", "true", "1", "yes"))


def says_something(value: object) -> bool:
    """Whether there is anything in a cell."""
    return value not in (None, "", [], {}, False, "{}", "[]", "f", "false", "null", "None", "{\n}")


def words(value: object) -> list[str]:
    """A list of JSON, or its text, or the text of a PostgreSQL array. Raises ValueError."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("{") and text.endswith("}"):
            return _array(text[1:-1])
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            raise ValueError("expected a list") from None
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError("expected a list of words")
    return value


def _array(inside: str) -> list[str]:
    """`a,"b c",NULL` of PostgreSQL's array text."""
    found: list[str] = []
    at = 0
    while at < len(inside):
        element = _ELEMENT.match(inside, at)
        if element is None:
            raise ValueError("expected a list")
        if element[1] is not None:
            found.append(re.sub(r"\\(.)", r"\1", element[1], flags=re.DOTALL))
        elif element[2].strip() not in ("", "NULL"):
            found.append(element[2].strip())
        if element.end() == at:
            raise ValueError("expected a list")
        at = element.end()
    return found


def mapping(value: object) -> dict[str, object]:
    """An object of JSON, or its text; empty for anything else."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return {}
    return {str(key): inner for key, inner in value.items()} if isinstance(value, dict) else {}


def moment(value: object) -> datetime | None:
    """A time of JSON or PostgreSQL, UTC where it says nothing. Raises ValueError."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ValueError("expected a time")
    found = datetime.fromisoformat(value.strip())
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
