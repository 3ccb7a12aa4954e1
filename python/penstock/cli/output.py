"""Tables and facts for people: cut to a terminal's width, whole when they go elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

NARROWEST = 8
GAP = "  "


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns side by side; on a terminal the widest are cut until they fit."""
    every = [tuple(titles), *(tuple(_plain(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in every) for column in range(len(titles))]
    if sys.stdout.isatty():
        widths = fit(widths, shutil.get_terminal_size().columns)
    for row in every:
        cells = (cut(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(GAP.join(cells).rstrip())


def print_facts(facts: Iterable[tuple[str, Iterable[str]]]) -> None:
    """A name and what belongs to it, a line each."""
    every = [(name, [_plain(line) for line in lines] or ["-"]) for name, lines in facts]
    width = max(len(name) for name, _ in every)
    for name, lines in every:
        for index, line in enumerate(lines):
            click.echo(f"{'' if index else name:<{width}}{GAP}{line}".rstrip())


def fit(widths: Sequence[int], room: int) -> list[int]:
    """The widths, the widest made narrower one by one until their sum fits or none can give way."""
    made = list(widths)
    room -= len(GAP) * (len(made) - 1)
    while sum(made) > room and max(made) > NARROWEST:
        made[made.index(max(made))] -= 1
    return made


def cut(text: str, width: int) -> str:
    """The text, or its beginning and a mark that there is more."""
    return text if len(text) <= width else text[: width - 1] + "…"


def _plain(text: str) -> str:
    """Names are foreign text: none of their characters moves the cursor or breaks a line."""
    return "".join(each if each.isprintable() else "�" for each in text)


def moment(text: str | None, usual: str = "-") -> str:
    """A time as people read it: to the minute, in UTC."""
    return usual if text is None else text[:16].replace("T", " ")


def listed(values: Sequence[str] | None) -> str:
    """A list of what is allowed; none at all is everything."""
    return "all" if values is None else ", ".join(values) or "nothing"


def content_lines(row: dict[str, Any]) -> list[str]:
    """Whether a key or team has opted out; `true` where a node of an older release answers."""
    return ["as configured" if row.get("content", True) else "never recorded"]


def tagged(tags: dict[str, str]) -> str:
    """Tags side by side."""
    return ", ".join(f"{name}={value}" for name, value in sorted(tags.items()))
