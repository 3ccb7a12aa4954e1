"""What listings share: bounds, cursor and tags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

from msgspec import Meta

from penstock.admin import cursor
from penstock.admin.shapes import Listing
from penstock.keys.problem import FieldProblem, Invalid
from penstock.store.interface import Filter, RowT, Store

ShapeT = TypeVar("ShapeT")
Limit = Annotated[int, Meta(ge=1, le=1000, description="How many at most")]
Cursor = Annotated[str, Meta(max_length=512, description="`next` of the piece before")]
Word = Annotated[str, Meta(min_length=1, max_length=256)]
USUAL = 100


async def page(
    store: Store, kind: type[RowT], narrowed: Filter, given: str | None, limit: int, shape: Callable[[RowT], ShapeT]
) -> Listing[ShapeT]:
    """A piece of the listing of one kind. Raises `Invalid` for a cursor that it did not write."""
    name = kind.__name__.lower()
    found = await store.list(kind, narrowed, cursor.read_text(name, given), limit)
    items = tuple(shape(row) for row in found.rows if isinstance(row, kind))
    return Listing(items, None if found.next is None else cursor.write(name, found.next))


def read_tag(text: str | None) -> tuple[str, str] | None:
    """`name=value`. Raises `Invalid`."""
    if text is None:
        return None
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise Invalid([FieldProblem("tag", "expected name=value")])
    return name, value
