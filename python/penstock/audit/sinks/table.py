"""The sinks there are, by the `type` of the configuration; one more is one more line."""

from __future__ import annotations

from collections.abc import Callable

from penstock.audit.sinks import jsonl
from penstock.audit.sinks.interface import Sink
from penstock.config.model import Sink as Settings

SINKS: dict[str, Callable[[Settings], Sink]] = {
    "jsonl": jsonl.make,
}
