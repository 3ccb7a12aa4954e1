"""Reads a LiteLLM configuration with the files that it includes."""

from __future__ import annotations

import os
from typing import NamedTuple

from penstock.config.problem import ConfigError, Problem
from penstock.config.tree import Mapping, Scalar, Sequence, parse
from penstock.importers.litellm.files import read
from penstock.importers.litellm.notes import Notes
from penstock.importers.litellm.values import Field, Wrong

MAX_FILE_BYTES = 4 << 20
MAX_FILES = 64
MAX_NESTING = 8
MAX_ALL_BYTES = 16 << 20


class Source(NamedTuple):
    """`lists`: top-level lists by name, the pieces of all files joined; `sections`: everything else at the top."""

    lists: dict[str, list[Field]]
    sections: dict[str, Field]


def load(file: str, notes: Notes) -> Source:
    """Raises `ConfigError` with file, line and column."""
    reading = _Reading(file, notes)
    reading.file(file, 0)
    if reading.wrong.problems:
        raise ConfigError(reading.wrong.problems)
    return Source(reading.lists, reading.sections)


class _Reading:
    def __init__(self, file: str, notes: Notes) -> None:
        self.notes = notes
        self.wrong = Wrong()
        self.lists: dict[str, list[Field]] = {}
        self.sections: dict[str, Field] = {}
        self.seen: set[str] = set()
        self.bytes = 0
        self.root = os.path.dirname(os.path.realpath(file))

    def file(self, file: str, depth: int) -> None:
        self.seen.add(os.path.realpath(file))
        content = read(file, MAX_FILE_BYTES)
        self.bytes += len(content)
        tree = _parse(content, file)
        origin = f"{os.path.relpath(os.path.realpath(file), self.root)}: " if depth else ""
        for key, (_, node) in tree.entries.items():
            field = Field(origin + key, node)
            if key == "include":
                continue
            if isinstance(node, Sequence):
                found = self.lists.setdefault(key, [])
                found += [Field(f"{field.path}[{index}]", item) for index, item in enumerate(node.items)]
            elif isinstance(node, Scalar) and node.null:
                continue
            elif key in self.sections:
                self.join(key, field)
            else:
                self.sections[key] = field
        if "include" in tree.entries:
            self.include(Field(f"{origin}include", tree.entries["include"][1]), depth)

    def join(self, key: str, field: Field) -> None:
        """LiteLLM lets an included section replace the one before it, whole."""
        before = self.sections[key]
        self.notes.add(before.path, f"is replaced whole by {field.path}, as LiteLLM does it")
        self.sections[key] = field

    def include(self, field: Field, depth: int) -> None:
        nodes = field.node.items if isinstance(field.node, Sequence) else [field.node]
        for index, node in enumerate(nodes):
            here = Field(f"{field.path}[{index}]", node)
            if not isinstance(node, Scalar) or node.null or not node.text or "\x00" in node.text:
                self.wrong.note(here, "expected the name of a file")
                continue
            path = os.path.join(self.root, node.text)
            real = os.path.realpath(path)
            if os.path.commonpath((real, self.root)) != self.root:
                self.wrong.note(
                    here, "lies outside of the directory of the configuration", "copy it into that directory"
                )
            elif not os.path.isfile(real):
                self.wrong.note(here, "is not there, or not a file")
            elif real in self.seen:
                self.notes.add(here.path, "was read already, and is not read twice")
            elif depth >= MAX_NESTING or len(self.seen) >= MAX_FILES or self.bytes > MAX_ALL_BYTES:
                most = f"{MAX_FILES} files, {MAX_ALL_BYTES >> 20} MiB, {MAX_NESTING} levels"
                self.wrong.note(here, f"is one include too many (at most {most})")
                return
            else:
                self.file(path, depth + 1)


def _parse(content: str, file: str) -> Mapping:
    try:
        return parse(content, file)
    except ConfigError as error:
        raise ConfigError([_for_litellm(problem) for problem in error.problems]) from None


def _for_litellm(problem: Problem) -> Problem:
    """The reader's advice, where it means a `penstock.yaml`."""
    if "alphabetic" in problem.message:
        return problem._replace(hint='a word that begins with `*` stands in quotes: "*"')
    return (
        problem._replace(hint="a LiteLLM file starts with `model_list:`") if "providers:" in problem.hint else problem
    )
