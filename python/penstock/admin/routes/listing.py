"""What listings share: bounds, cursor and tags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

from msgspec import Meta

from penstock.admin import cursor
from penstock.admin.shapes import Listing
from penstock.keys.problem import Findings
from penstock.store.interface import Filter, RowT, Store

ShapeT = TypeVar("ShapeT")
Limit = Annotated[int, Meta(ge=1, le=1000, description="How many at most")]
Cursor = Annotated[str, Meta(max_length=512, description="`next` of the piece before")]
Word = Annotated[str, Meta(min_length=1, max_length=256)]
Tag = Annotated[str, Meta(min_length=1, max_length=600, description="name=value")]
"""Longer than any that a key or team may have."""
USUAL = 100


def read_cursor(found: Findings, kind: type[RowT], text: str | None) -> str | None:
    """The id after which a listing of this kind goes on; what it did not write is noted."""
    return cursor.read_text(found, kind.__name__.lower(), text)


async def page(
    store: Store, kind: type[RowT], narrowed: Filter, after: str | None, limit: int, shape: Callable[[RowT], ShapeT]
) -> Listing[ShapeT]:
    """A piece of the listing of one kind; `after` is what its cursor said."""
    found = await store.list(kind, narrowed, after, limit)
    items = tuple(shape(row) for row in found.rows if isinstance(row, kind))
    return Listing(items, None if found.next is None else cursor.write(kind.__name__.lower(), found.next))


def read_tag(found: Findings, text: str | None) -> tuple[str, str] | None:
    """`name=value`; anything else is noted."""
    if text is None:
        return None
    name, equals, value = text.partition("=")
    if not name or not equals:
        found.add("tag", "expected name=value")
        return None
    return name, value
