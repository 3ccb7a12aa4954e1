"""The thread of one sink: looks for what is new in the journals, gives it, keeps how far it came."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread

from penstock.audit.journals import OpenJournal, instances, unread
from penstock.audit.sinks.follow import Batch, Follower, Shows
from penstock.audit.sinks.interface import LostError, Sink
from penstock.audit.sinks.position import Positions, Spot
from penstock.engine import open_journal

LOOK_S = 0.25
"""How often it looks."""
KEEP_S = 0.5
"""How often the position is kept while records come."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 30.0
"""Before the same is given again that was not taken: twice as long each time."""
AGAIN_S = 10.0
"""Before a journal of another process is read again that could not be."""


class UnreadableError(Exception):
    """A journal that is there cannot be read."""


@dataclass
class Facts:
    """What is known of a feed; written by its thread alone."""

    records: int = 0
    skipped: int = 0
    """Both of what the sink has for good: what is given again is counted once."""
    failures: int = 0
    why: str = ""
    """The last failure since all that was taken was kept."""
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
        texts: bool = False,
        open_journal: OpenJournal = open_journal,
        now: Callable[[], float] = time.monotonic,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`own`: the instance of this process. `report` is called from the feed's thread."""
        self.name, self.facts = name, Facts()
        self._sink, self._positions, self._data_dir, self._own = sink, positions, data_dir, own
        self._max_lag_us, self._shows = max_lag_us, Shows(private, texts)
        self._open_journal, self._now, self._report = open_journal, now, report
        self._followers: dict[str, Follower] = {}
        self._older: set[str] = set()
        """Journals that were there when this process began to feed the sink."""
        self._put_off_until: dict[str, float] = {}
        self._is_dirty, self._kept_at = False, 0.0
        self._records = self._skipped = 0
        """Given since the sink settled last."""
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
        """Gives all that is there now. Raises what the sink raises, OSError, ValueError; `UnreadableError` where it is
        the journal of this process."""
        paths = {os.path.basename(path): path for path in instances(self._data_dir)}
        if self._positions.is_new:
            self._begin(paths)
        for instance in paths:
            # Known before the first is given: one that goes while the sink is held up has not come and gone unseen.
            self._positions.spots.setdefault(instance, Spot(is_unread=True))
        own: UnreadableError | None = None
        for instance, path in paths.items():
            try:
                self._give_all(instance, path)
            except UnreadableError as error:
                if instance == self._own:
                    own = error
                else:
                    self._put_off(instance, error)
        for instance in [each for each in self._positions.spots if each not in paths]:
            self._forget(instance)
        if self._is_dirty:
            self._keep()
        if own is not None:
            raise own

    def _begin(self, paths: dict[str, str]) -> None:
        """A sink that was never fed begins with what comes from now on."""
        for instance in self._older & paths.keys():
            follower = self._followers[instance] = self._follow(paths[instance], Spot())
            with contextlib.suppress(OSError):  # then all of it is given, once it can be read
                follower.skip_to_end()
            self._positions.spots[instance] = follower.spot
        self._keep()
        self._positions.is_new = False

    def _give_all(self, instance: str, path: str) -> None:
        if self._now() < self._put_off_until.get(instance, 0.0):
            return
        follower = self._followers.get(instance)
        if follower is None:
            follower = self._followers[instance] = self._follow(path, self._positions.spots[instance])
        while (batch := self._next(follower, path)) is not None:
            self._give(batch)
            follower.taken()
            self._at(instance, batch.spot)
            if self._now() - self._kept_at > KEEP_S:
                self._keep()
        self._at(instance, follower.spot)
        self._put_off_until.pop(instance, None)

    def _next(self, follower: Follower, path: str) -> Batch | None:
        try:
            return follower.next(lambda: not self._abandoned.is_set())
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not os.path.isdir(path):
                return None  # it went meanwhile
            raise UnreadableError(unread(path, error)) from None

    def _put_off(self, instance: str, error: UnreadableError) -> None:
        """One journal that cannot be read holds up no other."""
        if instance not in self._put_off_until:
            self._report(str(error))
        self._put_off_until[instance] = self._now() + AGAIN_S

    def _forget(self, instance: str) -> None:
        """The journal is gone, read to its end or not."""
        follower = self._followers.get(instance) or self._follow(instance, self._positions.spots[instance])
        self._followers[instance] = follower  # until what it has is given
        while (batch := follower.gone()) is not None:
            self._give(batch)
            follower.taken()
        self._positions.drop(instance)
        del self._followers[instance]
        self._put_off_until.pop(instance, None)
        self._is_dirty = True

    def _give(self, batch: Batch) -> None:
        if batch.objects:
            self.facts.oldest_us = batch.oldest_us
            self.facts.since = self.facts.since or self._now()
            try:
                self._sink.take(batch.objects)
            except LostError:
                self._go_back()
                raise
        self._records += batch.records
        self._skipped += batch.skipped

    def _taken(self) -> None:
        self.facts.oldest_us, self.facts.since, self.facts.why = 0, None, ""

    def _at(self, instance: str, spot: Spot) -> None:
        if self._positions.spots.get(instance) != spot:
            self._positions.spots[instance] = spot
            self._is_dirty = True

    def _keep(self) -> None:
        try:
            self._sink.settle()
        except Exception:  # whatever a sink raises
            self._go_back()
            raise
        self._count()
        self._positions.keep()
        self._is_dirty, self._kept_at = False, self._now()
        self._taken()

    def _count(self) -> None:
        self.facts.records += self._records
        self.facts.skipped += self._skipped
        self._records = self._skipped = 0

    def _go_back(self) -> None:
        """A disk tells of its failure once: what was taken since the position was kept is given again, to be safe."""
        self._positions.go_back()
        self._followers.clear()
        self._is_dirty = False
        self._records = self._skipped = 0

    def _follow(self, path: str, spot: Spot) -> Follower:
        return Follower(path, spot, max_lag_us=self._max_lag_us, shows=self._shows, open_journal=self._open_journal)
