"""The rules for sinks: each has a place of its own, and something to get."""

from __future__ import annotations

import os
from collections.abc import Sequence

from penstock.audit.sinks.rotated import places
from penstock.config.model import STDOUT, Config, Sink, as_written
from penstock.config.problem import Notes, Path, dotted


def check(config: Config, found: Notes) -> None:
    """Notes what is wrong; nothing is written to."""
    sinks = config.audit.sinks
    if sinks and config.journal.durability == "none":
        found.add(("audit", "sinks"), "would get nothing: journal.durability is none", "sinks read the journal")
    seen: set[str] = set()
    asides = _asides(sinks)
    for index, sink in enumerate(sinks):
        path: Path = ("audit", "sinks", index, "path")
        if not sink.path:
            found.add(path, "is missing", "a file such as /var/log/penstock.jsonl, or - for standard output")
        elif sink.place in seen:
            found.add(path, "is written by another sink already")
        elif sink.place in asides:
            other = dotted(("audit", "sinks", asides[sink.place]))
            found.add(path, f"is where {other} puts files aside", "name another path")
        elif sink.place != STDOUT:
            _file(path, sink.place, as_written(sink.path), found)
        seen.add(sink.place)
        if sink.content and not sink.private:
            message = "would get no text: private is false, and texts are private"
            found.add(("audit", "sinks", index, "content"), message, "set private: true, or content: false")


def warnings(config: Config) -> tuple[str, ...]:
    """Of a checked configuration: sinks that wait for texts which nothing records."""
    audit = config.audit
    if audit.content.prompts or audit.content.answers:
        return ()
    places = (dotted(("audit", "sinks", n, "content")) for n, sink in enumerate(audit.sinks) if sink.content)
    advice = "set audit.content.prompts or audit.content.answers"
    return tuple(f"{place} is true, and no text is recorded: {advice}" for place in places)


def _asides(sinks: Sequence[Sink]) -> dict[str, int]:
    """Where files of a sink come to stand beside its own place, and which sink that is."""
    files = [(index, sink) for index, sink in enumerate(sinks) if sink.path not in ("", STDOUT)]
    return {name: index for index, sink in files for name in places(sink.place, sink.keep) if name != sink.place}


def _file(path: Path, where: str, shown: str, found: Notes) -> None:
    if os.path.exists(where) and not os.path.isfile(where):
        found.add(path, f"{shown} is not a file", "- is standard output")
    elif not os.path.isdir(os.path.dirname(where)):
        found.add(path, f"there is no directory for {shown}", "make it, writable for the user that serves")
