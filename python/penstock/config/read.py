"""From the tree of a file to `Config`, following the types of its structs and collecting every problem."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Environ
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from msgspec import Meta, Struct
from msgspec.structs import fields

from penstock.config import references, units
from penstock.config.model import NONE, SHORT, EnvPart, Part, Referenced, Secret, ServerUrl, TextPart
from penstock.config.problem import Mark, Path, Problem, did_you_mean
from penstock.config.tree import Mapping, Node, Scalar, Sequence

StructT = TypeVar("StructT", bound=Struct)
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
_UNITS: dict[str | None, tuple[Callable[[str], int], Callable[[int], str]]] = {
    "duration": (units.parse_duration, units.show_duration),
    "size": (units.parse_size, units.show_size),
    "usd": (units.parse_usd, units.show_usd),
    "factor": (units.parse_factor, units.show_usd),
}


class Wrong(Exception):
    """This value was refused; the problem is noted, the field keeps its default."""


class Reader:
    """Reads nodes as the types say; `values` and `keys` remember where each path stood, for the cross rules."""

    def __init__(self, environ: Environ[str, str]) -> None:
        self.environ = environ
        self.problems: list[Problem] = []
        self.values: dict[Path, Mark] = {}
        self.keys: dict[Path, Mark] = {}
        self.wrong: set[Path] = set()

    def struct(self, node: Node, want: type[StructT], path: Path = ()) -> StructT:
        """One struct; what is wrong inside is noted and keeps its default."""
        known = {info.encode_name: info for info in fields(want)}
        found: dict[str, Any] = {}
        for name, (mark, child) in self._mapping(node, path).entries.items():
            if name in known:
                self._into(found, known[name].name, child, known[name].type, (*path, name), mark)
            else:
                self._note(mark, (*path, name), "unknown field", did_you_mean(name, known))
        return want(**found)

    def refuse(self, node: Node, path: Path, message: str, hint: str = "") -> Wrong:
        """Notes a problem at a node; to be raised."""
        self._note(node.mark, path, message, hint)
        return Wrong()

    def _note(self, mark: Mark, path: Path, message: str, hint: str = "") -> None:
        self.wrong.add(path)
        self.problems.append(Problem(mark, path, message, hint))

    def _into(self, found: dict[str, Any], name: str, node: Node, want: Any, path: Path, key: Mark) -> None:
        self.keys[path] = key
        try:
            found[name] = self._value(node, want, path)
        except Wrong:
            self.wrong.add(path)

    def _mapping(self, node: Node, path: Path) -> Mapping:
        if isinstance(node, Mapping):
            return node
        if isinstance(node, Scalar) and node.null:
            return Mapping({}, node.mark)
        raise self.refuse(node, path, "expected fields and their values")

    def _value(self, node: Node, want: Any, path: Path) -> Any:
        self.values[path] = node.mark
        origin = get_origin(want)
        if origin in (Union, UnionType):
            return self._one_of(node, get_args(want), path)
        if origin is tuple:
            return self._list(node, get_args(want)[0], path)
        if origin is dict:
            key, item = get_args(want)
            return self._dict(node, key, item, path)
        if isinstance(want, type) and issubclass(want, Struct) and want is not Secret:
            if isinstance(node, Scalar) and not node.null and want in SHORT:
                node = Mapping({SHORT[want]: (node.mark, node)}, node.mark)
            elif isinstance(node, Scalar) and node.text == "none" and want in NONE:
                node = Mapping({}, node.mark)
            return self.struct(node, want, path)
        if not isinstance(node, Scalar) or node.null:
            raise self.refuse(node, path, f"expected {_describe(want)}")
        if want is Secret:
            return self._secret(node, path)
        text = self._text(node, path)
        if want is ServerUrl:
            return ServerUrl(text, node.text)
        try:
            value = _scalar(text, want)
            return Referenced(text, node.text) if want is str and text != node.text else value
        except ValueError as error:
            hint = did_you_mean(node.text, get_args(want)) if origin is Literal else ""
            raise self.refuse(node, path, f"{error}, not {_quoted(node.text)}", hint) from None

    def _one_of(self, node: Node, arms: tuple[Any, ...], path: Path) -> Any:
        if type(None) in arms and isinstance(node, Scalar) and node.null:
            return None
        rest = [arm for arm in arms if arm is not type(None)]
        lists = [arm for arm in rest if get_origin(arm) is tuple]
        if lists and (isinstance(node, Sequence) or (isinstance(node, Scalar) and node.env)):
            return self._value(node, lists[0], path)  # `str | tuple[str, ...]`: a variable may hold several
        if rest[1:] and isinstance(node, Scalar) and not node.null:  # `int | Literal["auto"]`: the words come last
            text = self._text(node, path)
            if any(text in get_args(arm) for arm in rest[1:]):
                return text
        return self._value(node, rest[0], path)

    def _list(self, node: Node, want: Any, path: Path) -> tuple[Any, ...]:
        if isinstance(node, Scalar) and not node.null:  # one alone needs no brackets; a variable may hold several
            texts = node.text.split(",") if node.env else [node.text]
            node = Sequence([Scalar(t.strip(), node.mark, env=node.env) for t in texts if t.strip()], node.mark)
        if not isinstance(node, Sequence):
            raise self.refuse(node, path, "expected a list")
        found: dict[str, Any] = {}
        for index, item in enumerate(node.items):
            found[str(index)] = "" if want is str else want()  # a wrong one keeps its place, so that the others do
            self._into(found, str(index), item, want, (*path, index), item.mark)
        return tuple(found.values())

    def _dict(self, node: Node, key: Any, want: Any, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, (mark, child) in self._mapping(node, path).entries.items():
            if get_origin(key) is Literal and name not in get_args(key):
                self._note(mark, (*path, name), "unknown name", did_you_mean(name, get_args(key)))
            else:
                self._into(found, name, child, want, (*path, name), mark)
        return found

    def _text(self, node: Scalar, path: Path) -> str:
        if node.env:
            return node.text
        try:
            return "".join(references.resolve(part, self.environ) for part in references.split(node.text))
        except ValueError as error:
            raise self.refuse(node, path, str(error)) from None

    def _secret(self, node: Scalar, path: Path) -> Secret:
        """The references of a secret; what they stand for is looked at once, to see that it can be sent."""
        try:
            parts = (EnvPart(node.env),) if node.env else references.split(node.text)
            for part in parts:
                if not references.resolve(part, self.environ).isprintable():
                    raise ValueError("the value holds a line break or a control character")
        except ValueError as error:
            raise self.refuse(node, path, str(error)) from None
        return Secret(tuple(self._in_force(part) for part in parts))

    def _in_force(self, part: Part) -> Part:
        """A variable that is set but empty gives way to its default, as in a shell."""
        if isinstance(part, EnvPart) and part.default is not None and self.environ.get(part.env) == "":
            return TextPart(part.default)
        return part


def _scalar(text: str, want: Any) -> Any:
    """One scalar of the wanted type. Raises ValueError saying what was expected."""
    if get_origin(want) is Literal:
        if text not in get_args(want):
            raise ValueError(f"expected one of {', '.join(get_args(want))}")
        return text
    if get_origin(want) is Annotated:
        return _bounded(text, get_args(want)[1])
    if want is bool:
        if text not in _TRUE + _FALSE:
            raise ValueError("expected true or false")
        return text in _TRUE
    if want is int:
        return _whole(text)
    if "\x00" in text:
        raise ValueError("expected text without NUL")
    return text


def _bounded(text: str, meta: Meta) -> int:
    parse, show = _UNITS.get((meta.extra or {}).get("unit"), (_whole, str))
    value = parse(text)
    low, high = int(meta.ge or 0), int(meta.le or 0)
    if not low <= value <= high:
        raise ValueError(f"expected {show(low)} to {show(high)}")
    return value


def _whole(text: str) -> int:
    if not text.removeprefix("-").isdecimal() or len(text) > 18:
        raise ValueError("expected a whole number")
    return int(text)


def _describe(want: Any) -> str:
    if want is bool:
        return "true or false"
    if get_origin(want) is Literal:
        return f"one of {', '.join(get_args(want))}"
    if get_origin(want) is Annotated:
        unit = (get_args(want)[1].extra or {}).get("unit", "number")
        return "an amount of usd" if unit == "usd" else f"a {unit}"
    return "a number" if want is int else "text"


def _quoted(text: str) -> str:
    """What was written, cut short; references stay unresolved, so nothing secret shows."""
    return repr(text if len(text) <= 40 else text[:39] + "…")
