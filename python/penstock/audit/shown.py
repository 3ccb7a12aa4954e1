"""Records for programs and people: JSON objects, lines of CSV, rows of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from penstock.audit.journals import Row
from penstock.keys.public import rfc3339

ALWAYS = ("request_id", "key_id", "model", "target", "status", "outcome", "usage", "usage_source", "cost_nanousd")
"""Fields that are there with null where they are not known; others are left out then."""

TITLES = ("TIME", "KEY", "MODEL", "TARGET", "STATUS", "OUTCOME", "TOKENS", "MS", "REQUEST")


TEXTS = ("prompt", "prompt_note", "answer", "answer_note")
"""Fields of the private part that may be long."""

MOST_TEXTS = 250
"""Records with their texts that are shown at one time: each may have 48 KiB."""


def as_object(row: Row, private: bool = True, texts: bool = True) -> dict[str, Any]:
    """The record as a JSON object, with its private part or without; of that with the texts or without."""
    record = asdict(row.record)
    record.pop("counted")  # for a start alone
    record["unpriced"] = record["unpriced"] or None
    shown: dict[str, Any] = {"started": rfc3339(record.pop("started_us"))}
    shown |= {name: _plain(value) for name, value in record.items() if value is not None or name in ALWAYS}
    if private and row.private is not None:
        hidden = asdict(row.private).items()
        shown |= {name: value for name, value in hidden if value is not None and (texts or name not in TEXTS)}
    return shown | {"instance": row.instance, "sequence": row.sequence}


def _plain(value: Any) -> Any:
    if isinstance(value, Struct):
        return {name: inner for name, inner in asdict(value).items() if inner is not None}
    return [_plain(inner) for inner in value] if isinstance(value, tuple) else value


Object = Mapping[str, Any]
"""A record as `as_object` makes it, and as the admin API shows it."""
Cell = Callable[[Object], object]


def _of(*path: str) -> Cell:
    def get(shown: Object) -> object:
        found: object = shown
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
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
    "started": _of("started"),
    **{name: _of(name) for name in (*_PLAIN, *_MORE)},
    "attempts": lambda shown: len(shown["attempts"]),
    **{name: _of("usage", name) for name in (*_USAGE, "audio_tokens", "image_tokens")},
    **{name: _of(name) for name in _LATE},
    "total_us": _of("phases", "total_us"),
    "first_token_us": _of("stream", "first_token_us"),
    "frames": _of("stream", "frames"),
    "received_bytes": _of("received_bytes"),
    "sent_bytes": _of("sent_bytes"),
    "tags": lambda shown: " ".join(f"{name}={text}" for name, text in shown.get("tags", {}).items()),
    "limits": lambda shown: " ".join(shown.get("limits", ())),
    **{name: _of(name) for name in ("client", "end_user", "instance", "sequence")},
}
"""Columns and what stands in them."""


def as_cells(shown: Object) -> list[str]:
    """A line of CSV. Text that a spreadsheet would take for a formula gets an apostrophe before it."""
    return [_cell(value(shown)) for value in CSV.values()]


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if isinstance(value, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def as_line(shown: Object) -> tuple[str, ...]:
    """A row of the table `TITLES`."""
    usage, phases, outcome = shown["usage"], shown.get("phases"), shown["outcome"]
    times = f" x{shown['count']}" if shown["count"] > 1 else ""
    return (
        shown["started"][:19].replace("T", " "),
        shown["key_id"] or "-",
        shown["model"] or "-",
        shown["target"] or "-",
        f"{shown['status'] or '-'}{times}",
        shown.get("error") or outcome if outcome == "complete" else outcome,
        f"{usage['prompt_tokens']}+{usage['completion_tokens']}" if usage else "-",
        f"{phases['total_us'] / 1000:.1f}" if phases and shown["count"] == 1 else "-",
        shown["request_id"] or "-",
    )
