"""All sinks of a process: fed, watched, told of."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from penstock.audit.sinks.feed import Feed
from penstock.audit.sinks.position import Positions, identifier
from penstock.audit.sinks.table import SINKS
from penstock.config.model import Sink as Settings
from penstock.config.model import as_written
from penstock.observe.logs import Log

LOOK_S = 1.0
STUCK_S = 10.0
"""How long a sink may have the same before it until it is told of."""


class Told(Protocol):
    """Who shows how sinks do."""

    def sinks(self, facts: bytes) -> None: ...


class Sinks:
    """Imported only where a sink is configured. A sink is fed by one of the processes on a `data_dir`."""

    def __init__(
        self,
        settings: Sequence[Settings],
        data_dir: str,
        own: str,
        log: Log,
        degraded: Callable[[list[str]], None],
    ) -> None:
        """`own`: the instance of this process."""
        self._feeds = [_feed(each, data_dir, own, log) for each in settings]
        self._log, self._degraded = log, degraded
        self._stuck: set[str] = set()
        self._shown = b""
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Before the first request."""
        for feed in self._feeds:
            feed.begin()

    def start(self, told: Told) -> None:
        """Gives from now on; after native's threads, so that those go first."""
        for feed in self._feeds:
            feed.start()
        self._task = asyncio.ensure_future(self._watch(told))

    async def stop(self, seconds: float) -> None:
        """Gives the last records, for so long at most; what is left is given after the next start."""
        if self._task is None:
            return
        self._task.cancel()
        for feed in self._feeds:
            feed.finish()
        ended = await asyncio.gather(*(asyncio.to_thread(feed.wait, seconds / 2) for feed in self._feeds))
        for feed, has_ended in zip(self._feeds, ended, strict=True):
            if not has_ended or feed.facts.why:
                self._log.warning("a sink did not take the last records", sink=feed.name, error=feed.facts.why)

    async def _watch(self, told: Told) -> None:
        while True:
            self._look(told)
            await asyncio.sleep(LOOK_S)

    def _look(self, told: Told) -> None:
        shown = msgspec.json.encode([_shown(feed) for feed in self._feeds])
        if shown != self._shown:
            self._shown = shown
            told.sinks(shown)
        stuck = {feed.name for feed in self._feeds if _is_stuck(feed)}
        if stuck == self._stuck:
            return
        for feed in self._feeds:
            if feed.name in stuck - self._stuck:
                why = feed.facts.why or "it does not read"
                self._log.warning("a sink does not take records; they wait in the journal", sink=feed.name, error=why)
            elif feed.name in self._stuck - stuck:
                self._log.info("the sink takes records again", sink=feed.name)
        self._stuck = stuck
        self._degraded([f"the sink {name} does not take records" for name in sorted(stuck)])


def _feed(settings: Settings, data_dir: str, own: str, log: Log) -> Feed:
    name = f"{settings.type}:{as_written(settings.path)}"
    place = os.path.join(os.path.abspath(data_dir), "sinks", identifier(settings.type, settings.place))
    sink = SINKS[settings.type](settings)
    lag_us = settings.max_lag * 1000

    def report(trouble: str) -> None:
        log.error("a sink does not get the records of a journal", sink=name, error=trouble)

    positions = Positions(place, name)
    return Feed(
        name,
        sink,
        positions,
        data_dir,
        own,
        max_lag_us=lag_us,
        private=settings.private,
        texts=settings.content,
        report=report,
    )


def _shown(feed: Feed) -> dict[str, object]:
    facts = feed.facts
    lag_us = max(0, time.time_ns() // 1000 - facts.oldest_us) if facts.oldest_us else 0
    counts = {"records": facts.records, "skipped": facts.skipped, "failures": facts.failures}
    return {"name": feed.name, **counts, "lag_us": lag_us}


def _is_stuck(feed: Feed) -> bool:
    since = feed.facts.since
    return since is not None and time.monotonic() - since > STUCK_S
