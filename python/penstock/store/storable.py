"""Text and numbers that every store can hold; the rest is refused by name before a store sees it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from penstock.keys.model import Change, Row
from penstock.store.interface import StoreRefusedError

MAX_ID = 200
"""Characters of an id: ids are indexed, and an index entry has a bound."""
_BIGGEST = 2**63


def check_storable(row: Row | None, change: Change) -> None:
    """Raises `StoreRefusedError` that names every field which cannot be stored."""
    faults = [*_faults(msgspec.to_builtins(row), ""), *_faults(msgspec.to_builtins(change), "change.")]
    ids = {"id": row.id, "team": getattr(row, "team", None)} if row is not None else {}
    ids |= {"change.id": change.id, "change.subject": change.subject}
    faults += [f"{name}: longer than {MAX_ID} characters" for name, id in ids.items() if id and len(id) > MAX_ID]
    faults += [f"{name}: empty" for name, id in ids.items() if id == ""]
    if faults:
        raise StoreRefusedError(f"cannot be stored: {'; '.join(faults)}")


def is_storable(text: str) -> bool:
    """Whether a store can hold the text; what it cannot hold is in no row."""
    return _text_fault(text) is None


def _faults(value: object, path: str) -> Iterator[str]:
    match value:
        case str() if fault := _text_fault(value):
            yield f"{path.rstrip('.')}: {fault}"
        case int() if not -_BIGGEST <= value < _BIGGEST:
            yield f"{path.rstrip('.')}: beyond 64 bits"
        case dict():
            for name, each in value.items():
                yield from _faults(name, f"{path}{_shown(name)}.")
                yield from _faults(each, f"{path}{_shown(name)}.")
        case list() | tuple():
            for index, each in enumerate(value):
                yield from _faults(each, f"{path}{index}.")


def _text_fault(text: str) -> str | None:
    if "\0" in text:
        return "a NUL character cannot be stored"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair cannot be stored"
    return None


def _shown(name: object) -> str:
    return str(name) if str(name).isidentifier() else ascii(name)
