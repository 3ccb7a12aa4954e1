"""Where a listing goes on: opaque to whoever passes it back."""

from __future__ import annotations

import base64
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from penstock.keys.problem import FieldProblem, Invalid

_TEXT = tuple[str, Annotated[str, Meta(pattern=r"^[0-9A-Za-z_-]{1,64}$")]]
_NUMBER = tuple[str, Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]]


def write(listing: str, place: str | int) -> str:
    """The cursor of a place in a listing."""
    return base64.urlsafe_b64encode(msgspec.json.encode([listing, place])).rstrip(b"=").decode()


def read_text(listing: str, cursor: str | None) -> str | None:
    """The id to go on after. Raises `Invalid` for what this listing did not write."""
    return None if cursor is None else str(_read(listing, cursor, _TEXT))


def read_number(listing: str, cursor: str | None) -> int | None:
    """The version to go on from. Raises `Invalid` for what this listing did not write."""
    return None if cursor is None else int(_read(listing, cursor, _NUMBER))


def _read(listing: str, cursor: str, want: Any) -> Any:
    try:
        raw = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        name, place = msgspec.json.decode(raw, type=want)
        if name != listing:
            raise ValueError(name)
    except (ValueError, msgspec.MsgspecError):
        message = "is none that this listing gave; leave it out to begin anew"
        raise Invalid([FieldProblem("cursor", message)]) from None
    return place
