"""One line of the admin API's table: method, path, types, and what answers; found by a request's path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import unquote

from msgspec import Struct

from penstock.admin.inputs import Read
from penstock.admin.message import Answer
from penstock.keys.model import Role
from penstock.keys.problem import FieldProblem

BodyT = TypeVar("BodyT")
QueryT = TypeVar("QueryT")
PARAMETER = "{id}"


@dataclass(frozen=True)
class Call(Generic[BodyT, QueryT]):
    """A request that was understood; `id` is the path's, empty where the path has none."""

    actor: str
    id: str
    body: BodyT
    query: QueryT
    found: Sequence[FieldProblem] = ()
    """What was wrong with the fields of the body, or of a listing's query, for a route that `judges`."""
    role: Role = "viewer"
    """What the caller may do."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """What is served at one method and path. Viewers may call what is a GET."""

    method: str
    path: str
    """With `{id}` as one segment, at most once."""
    handler: Callable[[Call[Any, Any]], Awaitable[Answer]]
    summary: str
    answers: Any
    """The type of the answer's body; None: it has none."""
    status: int = 200
    body: type[Struct] | None = None
    """The type of the request's body; None: it has none."""
    body_required: bool = True
    read: Read | None = None
    """Reads the body instead of `body`, which then only describes it."""
    judges: bool = False
    """The handler tells what is wrong with the fields together with what it finds itself."""
    query: type[Struct] | None = None
    codes: tuple[str, ...] = ()
    """Errors beside those that every route may answer with."""

    @property
    def name(self) -> str:
        """For OpenAPI: unique, and stable as long as the path is."""
        words = self.path.removeprefix("/admin/v1/").replace(".", "_").split("/")
        return "_".join([self.method.lower(), *("one" if word == PARAMETER else word for word in words)])


class Found(NamedTuple):
    """What there is at a path, and the id in it."""

    methods: Mapping[str, Route]
    id: str


class Table:
    """Routes by path; a literal step goes before an id."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._paths: dict[tuple[str, ...], dict[str, Route]] = {}
        for route in self.routes:
            self._paths.setdefault(tuple(route.path.split("/")), {})[route.method] = route

    @property
    def paths(self) -> list[str]:
        """For whoever asked for another one."""
        return sorted("/".join(steps) for steps in self._paths)

    def find(self, path: str) -> Found | None:
        """What is served at a path as it came in a request line, without its query."""
        steps = tuple(path.split("/"))
        if methods := self._paths.get(steps):
            return Found(methods, "") if PARAMETER not in steps else None
        for at in range(len(steps) - 1, 1, -1):
            methods = self._paths.get((*steps[:at], PARAMETER, *steps[at + 1 :]))
            if methods and steps[at]:
                return Found(methods, unquote(steps[at]))
        return None
