"""YAML text as a tree that remembers the line and column of every node."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from penstock.config.problem import ConfigError, Mark, Problem

MAX_DEPTH = 32
MAX_NODES = 200_000  # aliases multiply: a short file can describe a tree that fills the memory
_TOO_MUCH = "nested too deep, or repeated too often by aliases"
_FORBIDDEN = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # YAML 1.2, section 5.1


class Scalar:
    """One value as it was written; what type it has is for the field to say."""

    __slots__ = ("env", "mark", "null", "text")

    def __init__(self, text: str, mark: Mark, *, null: bool = False, env: str | None = None) -> None:
        self.text = text
        self.mark = mark
        self.null = null
        self.env = env  # the environment variable that set it


class Sequence:
    """A list."""

    __slots__ = ("items", "mark")

    def __init__(self, items: list[Node], mark: Mark) -> None:
        self.items = items
        self.mark = mark


class Mapping:
    """Keys in the order of the file, each with the place of the key and the node it holds."""

    __slots__ = ("entries", "mark")

    def __init__(self, entries: dict[str, tuple[Mark, Node]], mark: Mark) -> None:
        self.entries = entries
        self.mark = mark


Node = Scalar | Sequence | Mapping


def parse(text: str, source: str) -> Mapping:
    """The tree of a file; an empty file is an empty mapping. Raises `ConfigError`."""
    import yaml  # once a start or reload

    if found := _FORBIDDEN.search(text):
        line, column = text.count("\n", 0, found.start()) + 1, found.start() - text.rfind("\n", 0, found.start())
        raise ConfigError([Problem(Mark(source, line, column), (), f"the character {found[0]!r} cannot stand here")])
    kind = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader = kind(text)
    try:
        _bound(yaml.parse(text, kind), source)
        root = loader.get_single_node()
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        mark = Mark(source, place.line + 1, place.column + 1) if place else Mark(source, 1, 1)
        reason = str(getattr(error, "problem", None) or "not valid YAML")
        if "nesting depth" in reason:  # some builds of libyaml have a bound of their own
            reason = _TOO_MUCH
        raise ConfigError([Problem(mark, (), reason)]) from None
    finally:
        loader.dispose()
    if root is None:
        return Mapping({}, Mark(source, 1, 1))
    builder = _Builder(source)
    tree = builder.node(root, 0)
    if not isinstance(tree, Mapping):
        builder.problems.append(Problem(tree.mark, (), "expected fields and their values", "start with `providers:`"))
    if builder.problems:
        raise ConfigError(builder.problems)
    assert isinstance(tree, Mapping)  # noqa: S101 (for the type checker)
    return tree


def _bound(events: Iterator[Any], source: str) -> None:
    """Refuses what is too deep or too long before the composer sees it: that one recurses in C."""
    depth = 0
    for count, event in enumerate(events):
        name = type(event).__name__
        depth += name.endswith("StartEvent") - name.endswith("EndEvent")
        if depth > MAX_DEPTH + 3 or count > 2 * MAX_NODES:  # a stream, a document and the root are around it
            mark = Mark(source, event.start_mark.line + 1, event.start_mark.column + 1)
            raise ConfigError([Problem(mark, (), _TOO_MUCH)])


class _Builder:
    """Turns PyYAML's nodes into ours; collects what is wrong on the way."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.count = 0
        self.problems: list[Problem] = []

    def mark(self, node: Any) -> Mark:
        return Mark(self.source, node.start_mark.line + 1, node.start_mark.column + 1)

    def node(self, node: Any, depth: int) -> Node:
        mark = self.mark(node)
        self.count += 1
        if depth > MAX_DEPTH or self.count > MAX_NODES:
            raise ConfigError([Problem(mark, (), _TOO_MUCH)])
        if not node.tag.startswith("tag:yaml.org,2002:") or node.tag.startswith("tag:yaml.org,2002:python"):
            self.problems.append(Problem(mark, (), f"the tag {node.tag} means nothing here"))
        match node.id:
            case "scalar":
                return Scalar(node.value, mark, null=node.tag == "tag:yaml.org,2002:null")
            case "sequence":
                return Sequence([self.node(item, depth + 1) for item in node.value], mark)
            case _:
                return self.mapping(node, mark, depth)

    def mapping(self, node: Any, mark: Mark, depth: int) -> Mapping:
        entries: dict[str, tuple[Mark, Node]] = {}
        merged: dict[str, tuple[Mark, Node]] = {}
        for key, value in node.value:
            at = self.mark(key)
            if key.id != "scalar":
                self.problems.append(Problem(at, (), "a field's name is a word, not a list or a mapping"))
            elif key.tag == "tag:yaml.org,2002:merge":
                for name, entry in self.merge(value, depth).items():
                    merged.setdefault(name, entry)
            elif key.value in entries:
                first = entries[key.value][0]
                self.problems.append(Problem(at, (), f"{key.value!r} stands twice", f"first on line {first.line}"))
            else:
                entries[key.value] = (at, self.node(value, depth + 1))
        return Mapping(entries | {name: entry for name, entry in merged.items() if name not in entries}, mark)

    def merge(self, value: Any, depth: int) -> dict[str, tuple[Mark, Node]]:
        """What `<<:` brings in: the fields of a mapping, or of several, the first winning."""
        found: dict[str, tuple[Mark, Node]] = {}
        for source in value.value if value.id == "sequence" else [value]:
            part = self.node(source, depth + 1)
            if isinstance(part, Mapping):
                found = part.entries | found
            else:
                self.problems.append(Problem(part.mark, (), "`<<` takes a mapping, or a list of them"))
        return found
