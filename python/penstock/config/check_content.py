"""The rules for texts in records: something is recorded at all, and every pattern can be used."""

from __future__ import annotations

from penstock.config.model import Config
from penstock.config.problem import Notes, Path
from penstock.engine import check_pattern

MOST = 32
"""Patterns: each goes over every text."""
SYNTAX = "the syntax is that of https://docs.rs/regex, without look-around and references back"


def check(config: Config, found: Notes) -> None:
    """Notes what is wrong. Where native was not built patterns are not looked at: it refuses them itself."""
    content = config.audit.content
    place: Path = ("audit", "content")
    if (content.prompts or content.answers) and config.journal.durability == "none":
        found.add(place, "would record nothing: journal.durability is none", "texts are part of records")
    if len(content.redact) > MOST:
        found.add((*place, "redact"), f"has {len(content.redact)} patterns", f"at most {MOST}: join some with |")
        return
    for index, pattern in enumerate(content.redact):
        try:
            why = check_pattern(pattern)
        except ImportError:
            return
        if why is not None:
            found.add((*place, "redact", index), f"is no pattern that can be used: {why}", SYNTAX)
