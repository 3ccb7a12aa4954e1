"""Where a listing goes on: opaque to whoever passes it back."""

from __future__ import annotations

import base64
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from penstock.keys.problem import Findings

UNKNOWN = "is none that this listing gave; leave it out to begin anew"
_TEXT = tuple[str, Annotated[str, Meta(pattern=r"^[0-9A-Za-z_-]{1,64}$")]]
_NUMBER = tuple[str, Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]]


def write(listing: str, place: str | int) -> str:
    """The cursor of a place in a listing."""
    return base64.urlsafe_b64encode(msgspec.json.encode([listing, place])).rstrip(b"=").decode()


def read_text(found: Findings, listing: str, cursor: str | None) -> str | None:
    """The id to go on after; what this listing did not write is noted."""
    place = _read(found, listing, cursor, _TEXT)
    return None if place is None else str(place)


def read_number(found: Findings, listing: str, cursor: str | None) -> int | None:
    """The version to go on from; what this listing did not write is noted."""
    place = _read(found, listing, cursor, _NUMBER)
    return None if place is None else int(place)


def _read(found: Findings, listing: str, cursor: str | None, want: Any) -> Any:
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        name, place = msgspec.json.decode(raw, type=want)
        if name != listing:
            raise ValueError(name)
    except (ValueError, msgspec.MsgspecError):
        found.add("cursor", UNKNOWN)
        return None
    return place
