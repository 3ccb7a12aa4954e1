"""Keeps native's key table and `data_dir` up with the store, and says when the store is away."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Set
from typing import NamedTuple

from penstock.keys.cache import Note, Place
from penstock.keys.table import Table
from penstock.observe.logs import Log
from penstock.store.interface import Delta, Store, StoreError, StoreRefusedError, Watch
from penstock.times import DAY_US

ROWS_AT_ONCE = 2_000
CHANGES_AT_ONCE = 500
CALL_S = 15.0
"""The longest that one piece may take before the store counts as away."""

TOMBSTONES_US = 30 * DAY_US
"""How long the store keeps what was deleted."""

STALE_US = 14 * DAY_US
"""Rows that have not been compared with the store for so long are loaded anew: tombstones may be gone by then."""


class Pace(NamedTuple):
    """Seconds between things."""

    poll: float = 0.5
    quiet: float = 2.0
    """Between two polls while the store's own word is heard: only for what that does not tell."""
    hurry: float = 0.02
    """Between two polls that the store's own word has hastened."""
    first: float = 5.0
    """How long a start waits for the store."""
    first_with_rows: float = 1.0
    longest: float = 5.0
    """Between two tries while the store is away; the first comes after `poll`."""
    chores: float = 3_600.0
    """Between two rounds of noting the time and purging tombstones."""


class Feed:
    """Started once, stopped once. `told` hears whether the store is away."""

    def __init__(
        self,
        store: Store,
        table: Table,
        told: Callable[[bool], None],
        log: Log,
        *,
        migrate: bool = True,
        pace: Pace = Pace(),  # noqa: B008 (immutable)
        now_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
    ) -> None:
        self._store, self._table, self._log = store, table, log
        self._told = told
        self._migrate, self._pace, self._now_us = migrate, pace, now_us
        self._opened = False
        self._watch: Watch | None = None
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._away_since: float | None = None
        self._failures = 0
        self._next_chores = 0.0

    @property
    def is_away(self) -> bool:
        """Whether the last exchange with the store failed."""
        return self._away_since is not None

    def wake(self) -> None:
        """There may be something new: asks the store soon."""
        self._woken.set()

    async def start(self) -> None:
        """Rows of `data_dir` first, then the store's; goes on without the store when it is away.

        Raises `StoreRefusedError` when the store cannot be used as it is and `data_dir` has no rows to serve from.
        """
        rows = await self._table.load()
        try:
            async with asyncio.timeout(self._pace.first_with_rows if rows else self._pace.first):
                await self._connect()
            await self._exchange()  # a store that answers may have much to say
        except (StoreError, TimeoutError) as error:
            if isinstance(error, StoreRefusedError) and not rows:
                raise
            self._went_away(error)
            if rows:
                self._log.warning("started with the keys that data_dir has; changes are missing", rows=rows)
            else:
                self._log.warning("no key is known yet: requests are answered 503 until the store is there")
        self._task = asyncio.create_task(self._run(), name="key feed")

    async def stop(self) -> None:
        """Ends the polling; the store stays open."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        if self._watch is not None:
            await self._watch.stop()
            self._watch = None

    async def poll(self) -> None:
        """One exchange with the store, whether it is away or not; never raises for a store that is."""
        try:
            await self._exchange()
        except (StoreError, TimeoutError) as error:
            self._went_away(error)
        except Exception as error:  # a fault of ours must not end the polling
            self._log.error(f"keys could not be brought up to date: {error!r}")
            self._went_away(error)

    async def _run(self) -> None:
        while True:
            await self._pause()
            self._woken.clear()
            await self.poll()

    async def _pause(self) -> None:
        if self.is_away:
            await asyncio.sleep(self._pause_s())
            return
        with contextlib.suppress(TimeoutError):
            hears = self._watch is not None and self._watch.hears
            async with asyncio.timeout(self._pace.quiet if hears else self._pace.poll):
                await self._woken.wait()
            await asyncio.sleep(self._pace.hurry)

    def _pause_s(self) -> float:
        """As long as a poll after the first failure, twice as long after each further one, up to a bound."""
        return min(self._pace.longest, self._pace.poll * 2.0 ** min(self._failures - 1, 16))

    async def _connect(self) -> None:
        if not self._opened:
            made = await self._store.open(migrate=self._migrate)  # takes what migrations take
            self._opened = True
            for name in made:
                self._log.info("the store's schema was brought up to date", migration=name)
        if self._watch is None:
            self._watch = await self._store.watch(self.wake)

    async def _exchange(self) -> None:
        await self._connect()
        if self._is_stale():
            self._log.warning("the rows in data_dir are too old to go on from: all are loaded anew")
            await self._forget()
        more = True
        while more:
            async with asyncio.timeout(CALL_S):
                more = await self._step()
        self._came_back()
        if time.monotonic() >= self._next_chores:
            self._next_chores = time.monotonic() + self._pace.chores
            await self._do_chores()

    async def _step(self) -> bool:
        """Takes what is next; whether there is more."""
        version, ahead = self._table.place.version, set(self._table.ahead)
        # This one first: it also brings the store's id up to date.
        delta = await self._store.changed_since(version, ROWS_AT_ONCE)
        if delta.version != version:
            ahead |= await self._table.noted(delta.version)
        if reason := await self._why_another(delta, ahead):
            self._log.error(f"{reason}: every key is loaded anew, and secrets are checked again")
            await self._forget()
            return True
        if self._table.place.store is None:
            await self._table.reset(self._store.id)
        if delta.rows or delta.version != version or self._table.place.synced_us == 0:
            change = delta.change or (await self._made({delta.version})).get(delta.version)
            place = Place(self._store.id, delta.version, change or "", self._now_us())
            await self._table.advance(delta.rows, place, settled=not delta.more)
        return delta.more

    async def _why_another(self, delta: Delta, ahead: Set[Note]) -> str | None:
        """Why the rows we have are not earlier ones of this store; None when they are.

        A failover to a server that was behind loses the newest changes; others soon have their versions.
        """
        place = self._table.place
        if place.store is None:
            return None
        if place.store != self._store.id:
            return "this is another store than before"
        ours = {*ahead, Note(place.version, place.change)} if place.change else ahead
        versions = {note.version for note in ours}
        newest = max(versions, default=0)
        if delta.version < place.version or (delta.version < newest and not delta.more):
            return "the store has lost changes"
        # Of the newest one it came along: nothing else is asked for while nothing changes.
        made = {delta.version: delta.change} if delta.change else {}
        made |= await self._made(versions - made.keys())
        if len(versions) < len(ours) or any(made.get(version, change) != change for version, change in ours):
            return "the store has lost changes and made others since"
        return None

    async def _made(self, versions: Set[int]) -> dict[int, str]:
        """The ids of changes, by version: of these versions all that the store keeps."""
        made, wanted = dict[int, str](), sorted(versions)
        while wanted:
            count = min(wanted[-1] - wanted[0] + 1, CHANGES_AT_ONCE)
            there = await self._store.changes(None, wanted[-1] + 1, count)
            made |= {each.version: each.id for each in there}
            upto = there[-1].version if len(there) == CHANGES_AT_ONCE else 0
            wanted = [version for version in wanted if version < upto]
        return made

    async def _forget(self) -> None:
        self._table.set_current(False)
        await self._table.reset(self._store.id)

    def _is_stale(self) -> bool:
        place = self._table.place
        return place.store is not None and bool(place.synced_us) and self._now_us() - place.synced_us > STALE_US

    async def _do_chores(self) -> None:
        place = self._table.place
        await self._table.advance((), place._replace(synced_us=self._now_us()), settled=True)
        # Of two clocks the one that is behind counts: a node that was away needs what tells it of a deletion.
        now_us = min(self._now_us(), await self._store.now_us())
        await self._store.purge(now_us - TOMBSTONES_US)

    def _went_away(self, error: BaseException) -> None:
        self._failures += 1
        text = str(error) or "no answer in time"
        if self._away_since is not None:
            self._log.debug("the store is still away", error=text, next_try_s=self._pause_s())
            return
        self._away_since = time.monotonic()
        self._table.set_current(False)
        self._told(True)
        line = self._log.error if isinstance(error, StoreRefusedError) else self._log.warning
        line(
            "the store is away: known keys keep working, others are answered 503; trying again until it is back",
            error=text,
            next_try_s=self._pause_s(),
        )

    def _came_back(self) -> None:
        if self._away_since is not None:
            away_s = round(time.monotonic() - self._away_since, 1)
            self._log.info("the store is back, and every key is up to date", away_s=away_s)
            self._told(False)
        self._away_since, self._failures = None, 0
        self._table.set_current(True)
