"""The thread of one sink: looks for what is new in the journals, gives it, keeps how far it came."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread

from penstock.audit.journals import OpenJournal, instances
from penstock.audit.sinks.follow import Batch, Follower
from penstock.audit.sinks.interface import Sink
from penstock.audit.sinks.position import Positions, Spot
from penstock.engine import open_journal

LOOK_S = 0.25
"""How often it looks."""
KEEP_S = 0.5
"""How often the position is kept while records come."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 30.0
"""Before the same is given again that was not taken: twice as long each time."""


@dataclass
class Facts:
    """What is known of a feed; written by its thread alone."""

    records: int = 0
    skipped: int = 0
    failures: int = 0
    why: str = ""
    """The last failure since something was taken."""
    oldest_us: int = 0
    """When the first record ended that is being given, UTC; 0: none is."""
    since: float | None = None
    """Since when, by the monotonic clock, the sink has had the same before it."""


class Feed:
    """Feeds one sink. Its thread has the priority of the loop's, from which it is started."""

    def __init__(
        self,
        name: str,
        sink: Sink,
        positions: Positions,
        data_dir: str,
        own: str,
        *,
        max_lag_us: int,
        private: bool = True,
        open_journal: OpenJournal = open_journal,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`own`: the instance of this process."""
        self.name, self.facts = name, Facts()
        self._sink, self._positions, self._data_dir, self._own = sink, positions, data_dir, own
        self._max_lag_us, self._private = max_lag_us, private
        self._open_journal, self._now = open_journal, now
        self._followers: dict[str, Follower] = {}
        self._older: set[str] = set()
        """Journals that were there when this process began to feed the sink."""
        self._is_dirty, self._kept_at = False, 0.0
        self._finishing, self._abandoned = Event(), Event()
        # A daemon: what a sink is stuck in must not keep the process.
        self._thread = Thread(target=self._run, name=f"penstock-sink-{name}", daemon=True)

    def begin(self) -> None:
        """Before there is a record: whoever is killed before the first look has said where a new sink begins."""
        with contextlib.suppress(OSError, ValueError):  # the thread tries again, and tells
            if not self._positions.is_held and self._take() and self._positions.is_new:
                self._begin({os.path.basename(path): path for path in instances(self._data_dir)})

    def start(self) -> None:
        """Gives from now on."""
        self.begin()
        self._thread.start()

    def finish(self) -> None:
        """Gives what is there, once, and ends."""
        self._finishing.set()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended by then; if not, the sink is told to give up, and has as long for that."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._abandoned.set()
            self._sink.close()
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        wait_s = FIRST_WAIT_S
        is_last = False
        while not is_last:
            is_last = self._finishing.wait(LOOK_S if not self.facts.why else wait_s)
            try:
                if self._positions.is_held or self._take():
                    self.turn()
                self._taken()
                wait_s = FIRST_WAIT_S
            except Exception as error:  # whatever a sink raises
                self.facts.failures += 1
                self.facts.why = str(error) or type(error).__name__
                self.facts.since = self.facts.since or self._now()
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        self._positions.release()

    def _take(self) -> bool:
        """Whether this process may feed the sink from now on."""
        if not self._positions.take():
            return False
        self._older = {os.path.basename(path) for path in instances(self._data_dir)} - {self._own}
        return True

    def turn(self) -> None:
        """Gives all that is there now. Raises what the sink raises, OSError, ValueError."""
        paths = {os.path.basename(path): path for path in instances(self._data_dir)}
        if self._positions.is_new:
            self._begin(paths)
        for instance, path in paths.items():
            self._give_all(instance, path)
        for instance in [each for each in self._positions.spots if each not in paths]:
            self._forget(instance)
        if self._is_dirty:
            self._keep()

    def _begin(self, paths: dict[str, str]) -> None:
        """A sink that was never fed begins with what comes from now on."""
        for instance, path in paths.items():
            follower = self._followers[instance] = self._follow(path, Spot())
            if instance in self._older:
                with contextlib.suppress(FileNotFoundError):
                    follower.skip_to_end()
            self._positions.spots[instance] = follower.spot
        self._keep()
        self._positions.is_new = False

    def _give_all(self, instance: str, path: str) -> None:
        spots = self._positions.spots
        follower = self._followers.get(instance)
        if follower is None:
            follower = self._followers[instance] = self._follow(path, spots.get(instance, Spot()))
        try:
            while (batch := follower.next(lambda: not self._abandoned.is_set())) is not None:
                self._give(batch)
                follower.taken()
                self._at(instance, batch.spot)
                if self._now() - self._kept_at > KEEP_S:
                    self._keep()
            self._at(instance, follower.spot)
        except FileNotFoundError:
            if os.path.isdir(path):
                raise

    def _forget(self, instance: str) -> None:
        """The journal is gone, read to its end or not."""
        follower = self._followers.pop(instance, None) or self._follow(instance, self._positions.spots[instance])
        batch = follower.gone()
        if batch is not None:
            self._give(batch)
        del self._positions.spots[instance]
        self._is_dirty = True

    def _give(self, batch: Batch) -> None:
        if batch.objects:
            self.facts.oldest_us = batch.oldest_us
            self.facts.since = self.facts.since or self._now()
            self._sink.take(batch.objects)
        self.facts.records += batch.records
        self.facts.skipped += batch.skipped
        self._taken()

    def _taken(self) -> None:
        self.facts.oldest_us, self.facts.since, self.facts.why = 0, None, ""

    def _at(self, instance: str, spot: Spot) -> None:
        if self._positions.spots.get(instance) != spot:
            self._positions.spots[instance] = spot
            self._is_dirty = True

    def _keep(self) -> None:
        self._sink.settle()
        self._positions.keep()
        self._is_dirty, self._kept_at = False, self._now()

    def _follow(self, path: str, spot: Spot) -> Follower:
        return Follower(path, spot, max_lag_us=self._max_lag_us, private=self._private, open_journal=self._open_journal)
