"""Reads the file of `keys import`: a JSON list, JSON lines or CSV; errors name the line and never repeat it."""

from __future__ import annotations

import csv
import io
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from penstock.cli.admin_client import problem_lines
from penstock.cli.limit_options import LimitsError, read_limits

MAX_BYTES = 256 << 20
MAX_PROBLEMS = 50
LISTS = ("models", "paths", "networks")
COLUMNS = ("secret", "sha256", "name", "team", "owner", *LISTS, "limits", "expires", "tags", "content")
WORDS = {"true": True, "false": False}
_FIELD = re.compile(r"keys\[(\d+)\](?:\.(.*))?\Z")

SECRET = 20
"""What a secret weighs where a SHA-256 weighs 1: hashing it takes that long."""
FIRST, HEAVIEST, LIGHTEST = 100, 500, SECRET
"""What one call carries; by how long it takes the next one carries more or less."""
SHORT_S, LONG_S = 1.0, 3.0
PIECE_BYTES = 512 << 10


class FileError(Exception):
    """The file cannot be read; a line for each problem."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = list(lines)


class Row(NamedTuple):
    """One key as the API takes it, and where it stood."""

    line: int
    key: Any


class Piece(list[Row]):
    """The rows of one call."""

    def problem_lines(self, file: str, answer: Any) -> list[str]:
        """What the API says, each at its line of the file."""
        return [self._placed(file, line) for line in problem_lines(answer)]

    def _placed(self, file: str, line: str) -> str:
        field, colon, message = line.partition(": ")
        found = _FIELD.match(field)
        if not colon or not found or int(found[1]) >= len(self):
            return f"{file}: {line}"
        inside = f"{found[2]}: " if found[2] else ""
        return f"{file}:{self[int(found[1])].line}: {inside}{message}"


def read_file(file: str, form: str) -> list[Row]:
    """Every key of a file; `-` is standard input. Raises `FileError`."""
    text = _text(file)
    if form == "auto":
        first = text.lstrip()[:1]
        form = "json" if first == "[" else "jsonl" if first == "{" else "csv"
    rows: list[Row] = []
    problems: list[str] = []
    read = {"json": _json, "jsonl": _json_lines, "csv": _csv}[form]
    for each in read(text):
        if isinstance(each, Row):
            rows.append(each)
        else:
            problems.append(f"{file}:{each[0]}: {each[1]}" if each[0] else f"{file}: {each[1]}")
    if problems:
        more = len(problems) - MAX_PROBLEMS
        raise FileError(problems[:MAX_PROBLEMS] + ([f"and {more} more"] if more > 0 else []))
    if not rows:
        raise FileError([f"{file}: holds no keys"])
    return rows


def pieces(rows: Sequence[Row], clock: Callable[[], float] = time.monotonic) -> Iterator[Piece]:
    """The rows in the pieces in which they are sent; whoever asks for the next one has sent the one before."""
    most = FIRST
    piece, weight, size = Piece(), 0, 0
    for row in rows:
        heavy = SECRET if isinstance(row.key, dict) and "secret" in row.key else 1
        long = len(msgspec.json.encode(row.key)) + 1
        if piece and (weight + heavy > most or size + long > PIECE_BYTES):
            began = clock()
            yield piece
            took_s = clock() - began
            if took_s > LONG_S:
                most = max(LIGHTEST, most // 2)
            elif took_s < SHORT_S:
                most = min(HEAVIEST, most * 2)
            piece, weight, size = Piece(), 0, 0
        piece.append(row)
        weight, size = weight + heavy, size + long
    if piece:
        yield piece


Wrong = tuple[int, str]


def _text(file: str) -> str:
    try:
        if file == "-":
            content = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with open(file, "rb") as stream:
                content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise FileError([f"{file}: cannot be read: {error.strerror}"]) from None
    if len(content) > MAX_BYTES:
        raise FileError([f"{file}: is larger than {MAX_BYTES >> 20} MiB: import it in pieces"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FileError([f"{file}:{line}: not UTF-8"]) from None


def _json(text: str) -> Iterator[Row | Wrong]:
    """A list of objects, each with the line where it begins."""
    try:
        found = msgspec.json.decode(text, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError):
        yield 0, "is not a JSON list of objects"
        return
    at, line = 0, 1
    for raw in found:
        item = bytes(raw).decode()
        place = text.find(item, at)
        line += text.count("\n", at, place)
        yield from _object(line, item)
        at, line = place + len(item), line + item.count("\n")


def _json_lines(text: str) -> Iterator[Row | Wrong]:
    for line, each in enumerate(text.split("\n"), 1):
        if each.strip():
            yield from _object(line, each)


def _object(line: int, text: str) -> Iterator[Row | Wrong]:
    try:
        yield Row(line, msgspec.json.decode(text, type=dict[str, Any]))
    except (msgspec.MsgspecError, RecursionError):
        yield line, "is not a JSON object"


def _csv(text: str) -> Iterator[Row | Wrong]:
    """Column names first; an empty cell is left out. Lists, tags (`name=value`) and limits (`requests=600/min`)
    have blanks between."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        unknown = [at for at, name in enumerate(names, 1) if name not in COLUMNS]
        for at in unknown:  # not by name: where the names were left out it is a secret
            yield 1, f"column {at} has an unknown name; the first line names the columns, of {', '.join(COLUMNS)}"
        if unknown or not names:
            return
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(names):
                yield reader.line_num, f"has {len(cells)} cells instead of {len(names)}"
                continue
            yield from _cells(reader.line_num, {name: cell.strip() for name, cell in zip(names, cells, strict=True)})
    except csv.Error as error:
        yield reader.line_num, f"is not CSV: {error}"


def _cells(line: int, cells: dict[str, str]) -> Iterator[Row | Wrong]:
    problems: list[str] = []
    key: dict[str, Any] = {name: cell for name, cell in cells.items() if cell}
    key |= {name: key[name].split() for name in LISTS if name in key}
    if "limits" in key:
        try:
            key["limits"] = read_limits(key["limits"].split())
        except LimitsError as error:
            problems += [f"limits: {each}" for each in error.problems]
    if "content" in key:
        if key["content"] not in WORDS:
            problems.append("content: expected true or false")
        key["content"] = WORDS.get(key["content"], False)
    if "tags" in key:
        pairs = [pair.partition("=") for pair in key["tags"].split()]
        if not all(name and equals for name, equals, _ in pairs):
            problems.append("tags: expected name=value, separated by blanks")
        key["tags"] = {name: value for name, _, value in pairs}
    if problems:
        yield from ((line, each) for each in problems)
    else:
        yield Row(line, key)
