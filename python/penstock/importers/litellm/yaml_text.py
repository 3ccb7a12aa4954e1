"""The text of a `penstock.yaml`: fields in order, and at the top what people must know of it."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable

import yaml

from penstock.importers.litellm.notes import Note, lines, printable


class _Dumper(yaml.SafeDumper):
    """Writes out what occurs twice: an anchor helps nobody who edits the file."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def dump(plain: dict[str, object]) -> str:
    """Mappings that hold only words on one line."""
    if not plain:
        return "{}\n"
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=118, default_flow_style=None)


def with_notes(body: str, file: str, notes: Iterable[Note], variables: list[str]) -> str:
    """The body with comments before it."""
    head = [f"penstock.yaml, made by `penstock import litellm` from {printable(os.path.basename(file))}."]
    if variables:
        head += ["", *textwrap.wrap(f"Its environment needs {', '.join(variables)}.", 116)]
    if about := lines(notes, 116):
        head += ["", "What was not carried over, or is another than before:", *about]
    return "".join(f"# {line}".rstrip() + "\n" for line in head) + "\n" + body
