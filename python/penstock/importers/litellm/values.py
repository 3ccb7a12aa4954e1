"""Reads single values of a LiteLLM file: text, numbers, lists, and `os.environ/NAME`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Literal, NamedTuple

from penstock.config.problem import Problem
from penstock.config.tree import Mapping, Node, Scalar, Sequence

_ENV = "os.environ/"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_OFF = ("", "false", "no", "off", "~", "null", "none")


class Field(NamedTuple):
    """A node and the path that leads to it, as people write it."""

    path: str
    node: Node

    @property
    def is_off(self) -> bool:
        """Says nothing: null, false, or empty."""
        match self.node:
            case Scalar(null=null, text=text):
                return null or text.lower() in _OFF
            case Sequence(items=items):
                return not items
            case Mapping(entries=entries):
                return not entries


class Value(NamedTuple):
    """Text as Penstock will have it: `env`: the name of a variable; `plain`: may be written; `secret`: may not."""

    text: str
    form: Literal["env", "plain", "secret"] = "plain"

    def __repr__(self) -> str:
        return f"Value({'…' if self.form == 'secret' else self.text})"


class Wrong:
    """Notes values whose shape is wrong, with the place in the file."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def note(self, field: Field, message: str, hint: str = "") -> None:
        """One more problem."""
        self.problems.append(Problem(field.node.mark, (field.path,), message, hint))


def fields(field: Field, wrong: Wrong) -> dict[str, Field]:
    """What is inside a mapping, null values left out."""
    if isinstance(field.node, Scalar) and field.node.null:
        return {}
    if not isinstance(field.node, Mapping):
        wrong.note(field, "expected fields and their values")
        return {}
    inside = {key: Field(f"{field.path}.{key}" if field.path else key, n) for key, (_, n) in field.node.entries.items()}
    return {key: child for key, child in inside.items() if not (isinstance(child.node, Scalar) and child.node.null)}


def items(field: Field, wrong: Wrong) -> list[Field]:
    """What is inside a list."""
    if isinstance(field.node, Scalar) and field.node.null:
        return []
    if not isinstance(field.node, Sequence):
        wrong.note(field, "expected a list")
        return []
    return [Field(f"{field.path}[{index}]", node) for index, node in enumerate(field.node.items)]


def words(field: Field | None) -> Iterator[str]:
    """The texts of a list of texts, or of one text; anything else in it is passed over."""
    if field is None:
        return
    nodes = field.node.items if isinstance(field.node, Sequence) else [field.node]
    for node in nodes:
        if isinstance(node, Scalar) and not node.null:
            yield node.text


def text(field: Field | None) -> str | None:
    """The text of a scalar; None for everything else."""
    if field is None or not isinstance(field.node, Scalar) or field.node.null:
        return None
    return field.node.text


def number(field: Field | None) -> Decimal | None:
    """A finite number from 0 to 10^12; None for everything else."""
    written = text(field)
    if written is None or len(written) > 40:
        return None
    try:
        found = Decimal(written.strip().replace("_", ""))
    except InvalidOperation:
        return None
    return found if found.is_finite() and 0 <= found <= 10**12 else None


def variable(written: str) -> str | None:
    """NAME of `os.environ/NAME`."""
    name = written.removeprefix(_ENV)
    return name if written.startswith(_ENV) and _NAME.match(name) else None


def value(written: str, *, secret: bool) -> Value:
    """The value of a text: a reference to a variable, or what was written."""
    name = variable(written)
    return Value(name, "env") if name else Value(written, "secret" if secret else "plain")


def escape(written: str) -> str:
    """Text that stands for itself in a `penstock.yaml`."""
    return written.replace("${", "$${")


def variables(node: Node) -> Iterator[str]:
    """Every variable that a tree refers to."""
    stack = [node]
    while stack:
        match stack.pop():
            case Scalar(text=written):
                if name := variable(written):
                    yield name
            case Sequence(items=inside):
                stack += inside
            case Mapping(entries=entries):
                stack += [child for _, child in entries.values()]
