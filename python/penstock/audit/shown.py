"""Records for programs and people: JSON objects, lines of CSV, rows of a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from penstock.audit.journals import Row
from penstock.keys.public import rfc3339

ALWAYS = ("request_id", "key_id", "model", "target", "status", "outcome", "usage", "usage_source", "cost_nanousd")
"""Fields that are there with null where they are not known; others are left out then."""

TITLES = ("TIME", "KEY", "MODEL", "TARGET", "STATUS", "OUTCOME", "TOKENS", "MS", "REQUEST")


def as_object(row: Row) -> dict[str, Any]:
    """The record as a JSON object."""
    record = asdict(row.record)
    shown: dict[str, Any] = {"started": rfc3339(record.pop("started_us"))}
    shown |= {name: _plain(value) for name, value in record.items() if value is not None or name in ALWAYS}
    if row.private is not None:
        shown |= {name: value for name, value in asdict(row.private).items() if value is not None}
    return shown | {"instance": row.instance, "sequence": row.sequence}


def _plain(value: Any) -> Any:
    if isinstance(value, Struct):
        return {name: inner for name, inner in asdict(value).items() if inner is not None}
    return [_plain(inner) for inner in value] if isinstance(value, tuple) else value


Cell = Callable[[Row], object]


def _of(*path: str) -> Cell:
    def get(row: Row) -> object:
        found: object = row.record
        for name in path:
            found = getattr(found, name, None)
        return found

    return get


_USAGE = ("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
_PLAIN = (
    "count",
    "request_id",
    "upstream_request_id",
    "trace_id",
    "key_id",
    "team",
    "dialect",
    "api",
    "method",
    "path",
)
_MORE = ("model", "target", "status", "outcome", "error")
_LATE = ("usage_source", "cost_nanousd", "charged_tokens", "charged_nanousd", "queued_us", "overhead_us")

CSV: dict[str, Cell] = {
    "started": lambda row: rfc3339(row.record.started_us),
    **{name: _of(name) for name in (*_PLAIN, *_MORE)},
    "attempts": lambda row: len(row.record.attempts),
    **{name: _of("usage", name) for name in (*_USAGE, "audio_tokens", "image_tokens")},
    **{name: _of(name) for name in _LATE},
    "total_us": _of("phases", "total_us"),
    "first_token_us": _of("stream", "first_token_us"),
    "frames": _of("stream", "frames"),
    "received_bytes": _of("received_bytes"),
    "sent_bytes": _of("sent_bytes"),
    "tags": lambda row: " ".join(f"{name}={text}" for name, text in (row.record.tags or {}).items()),
    "limits": lambda row: " ".join(row.record.limits or ()),
    "client": lambda row: row.private and row.private.client,
    "end_user": lambda row: row.private and row.private.end_user,
    "instance": lambda row: row.instance,
    "sequence": lambda row: row.sequence,
}
"""Columns and what stands in them."""


def as_cells(row: Row) -> list[str]:
    """A line of CSV. Text that a spreadsheet would take for a formula gets an apostrophe before it."""
    return [_cell(value(row)) for value in CSV.values()]


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if isinstance(value, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def as_line(row: Row) -> tuple[str, ...]:
    """A row of the table `TITLES`."""
    record = row.record
    usage, phases = record.usage, record.phases
    times = f" x{record.count}" if record.count > 1 else ""
    return (
        (rfc3339(record.started_us) or "")[:19].replace("T", " "),
        record.key_id or "-",
        record.model or "-",
        record.target or "-",
        f"{record.status or '-'}{times}",
        record.error or record.outcome if record.outcome == "complete" else record.outcome,
        f"{usage.prompt_tokens}+{usage.completion_tokens}" if usage else "-",
        f"{phases.total_us / 1000:.1f}" if phases and record.count == 1 else "-",
        record.request_id or "-",
    )
