"""`extra_headers` of a deployment: which of them Penstock sends, and which may stand in a file."""

from __future__ import annotations

import re

from penstock.config.check_providers import OURS
from penstock.importers.litellm.notes import Notes
from penstock.importers.litellm.values import Field, Value, Wrong, fields, text, value

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}\Z")  # RFC 9110, section 5.6.2
# Everything else may be a credential, whatever it is called.
_PUBLIC = frozenset(
    (
        *("accept", "accept-language", "user-agent", "referer", "http-referer", "x-title", "content-type"),
        *("anthropic-version", "anthropic-beta", "openai-beta", "openai-organization", "openai-project"),
    )
)


def read(params: dict[str, Field], carrier: str | None, notes: Notes) -> tuple[tuple[str, Value], ...]:
    """Name (lower case) and value; `carrier` is the header that carries the key, if there is one."""
    found: dict[str, Value] = {}
    for group in ("headers", "extra_headers"):
        if group not in params:
            continue
        for name, field in fields(params[group], Wrong()).items():
            lower, written = name.lower(), text(field)
            if not _TOKEN.match(name) or lower in OURS:
                notes.add(field.path, "this header cannot be set")
            elif written is None or not written.isprintable():
                notes.add(field.path, "expected one line of text as its value")
            elif lower == carrier:
                notes.add(field.path, "carries the key already; api_key goes before it")
            else:
                found[lower] = value(written, secret=lower not in _PUBLIC)
    return tuple(found.items())
