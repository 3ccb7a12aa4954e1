"""Says to Redis that this node is there, hears how many there are, and knows within a second when Redis is away."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from penstock.limits.script import AwayError, Call, Refused, Runner, Script
from penstock.observe.logs import Log

REFUSED = 1_000
"""Limits of which a beat says that they were refused here."""


class Pace(NamedTuple):
    """Seconds."""

    beat: float = 0.25
    """The longest between an answer and the next beat."""
    patience: float = 0.5
    """How long a beat waits for its answer; with the time before it, what it takes to see that Redis is away."""
    hurry: float = 0.02
    """The shortest between two beats."""
    shortest: float = 0.05
    longest: float = 0.5
    """Between two tries while Redis is away: at random, from the one to twice as long with each, up to the other."""
    again: float = 30.0
    """The shortest between two lines that say why Redis is away, if the reason is another by now."""
    fewer: float = 2.0
    """How long fewer nodes than before must have been told to be believed: longer than it takes one that lives to say
    so to a Redis that has come back with nothing."""


class Told(Protocol):
    """Who hears of it: native."""

    def shared_state(self, away: bool, nodes: int) -> None: ...
    def shared_pressed(self, tags: list[str]) -> None: ...


class Beats:
    """Started once, stopped once. `degraded` hears when Redis goes away and comes back."""

    def __init__(
        self,
        redis: Runner,
        member: str,
        prefix: str,
        log: Log,
        *,
        where: str,
        nodes: int | None = None,
        degraded: Callable[[bool], None] = lambda _away: None,
        pace: Pace = Pace(),  # noqa: B008 (immutable)
        between: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """`nodes` is how many there are at least."""
        self._redis, self._member, self._log, self._where = redis, member, log, where
        self._least, self._degraded, self._pace, self._between = nodes or 0, degraded, pace, between
        self._script = Script("beat.lua")
        self._keys = (f"{prefix}:{{nodes}}", f"{prefix}:{{nodes}}:pressed")
        self._counted = 0
        self._fewer_since: float | None = None
        self._away_since: float | None = time.monotonic()
        self._failures = 0
        self._why, self._said = "", ("", 0.0)
        self._refused: dict[str, None] = {}
        self._woken = asyncio.Event()
        self._told: Told | None = None
        self._state = (True, 0)
        self._task: asyncio.Task[None] | None = None

    @property
    def is_away(self) -> bool:
        """Whether the last beat got no answer; until there was one, too."""
        return self._away_since is not None

    @property
    def why(self) -> str:
        """Why Redis is away; nothing while it is not."""
        return self._why

    @property
    def nodes(self) -> int:
        """How many there are, this one included; 0: not known. While Redis is away no fewer than were configured."""
        return max(self._counted, self._least) if self.is_away else self._counted

    async def start(self, told: Told) -> None:
        """The first beat, answered or not; then one after the other."""
        self._told = told
        await self._beat()
        self._task = asyncio.create_task(self._run(), name="beats")

    async def stop(self) -> None:
        """The last beat says that this node leaves, if somebody listens."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        self._task = None
        if not self.is_away:
            with contextlib.suppress(AwayError):
                await self._redis.run(self._script, [Call(self._keys, (self._member, "1"))], self._pace.patience)

    def refused(self, tags: Iterable[str]) -> None:
        """Limits of which this node asked for more than is left: with the next beat all others hear of it."""
        for tag in tags:
            if len(self._refused) < REFUSED:
                self._refused[tag] = None

    def hurry(self) -> None:
        """Something went wrong with Redis: the next beat shows whether it is away."""
        self._woken.set()

    async def _run(self) -> None:
        while True:
            await self._pause()
            self._woken.clear()
            try:
                await self._beat()
            except Exception as error:  # a fault of ours must not end the beats
                self._log.error(f"a beat failed: {error!r}")
                await self._went_away(repr(error))

    async def _pause(self) -> None:
        pace = self._pace
        if self.is_away:
            longest = min(pace.longest, pace.shortest * 2.0 ** min(self._failures, 16))
            await asyncio.sleep(self._between(pace.shortest, longest))
            return
        await asyncio.sleep(pace.hurry)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._between(0.8, 1.0) * pace.beat - pace.hurry):
                await self._woken.wait()

    async def _beat(self) -> None:
        told, self._refused = list(self._refused), {}
        call = Call(self._keys, (self._member, "0", *told))
        try:
            (reply,) = await self._redis.run(self._script, [call], self._pace.patience)
            if isinstance(reply, Refused):
                raise AwayError(reply.why)
        except AwayError as error:
            self.refused(told)
            await self._went_away(str(error))
            return
        self._count(max(1, int(reply[1])))
        self._came_back()
        if self._told is not None and len(reply) > 2:
            self._told.shared_pressed([tag.decode() for tag in reply[2:]])

    def _count(self, nodes: int) -> None:
        """More are believed at once. A Redis that has lost its data has heard of one node first: if it goes away again
        then, each must not take the whole limit for its share."""
        now = time.monotonic()
        if nodes < self._counted:
            self._fewer_since = now if self._fewer_since is None else self._fewer_since
            if now - self._fewer_since < self._pace.fewer:
                return
        self._counted, self._fewer_since = nodes, None

    async def _went_away(self, why: str) -> None:
        self._failures += 1
        self._fewer_since = None
        self._why = why
        now = time.monotonic()
        first = self._failures == 1
        if self._away_since is None:
            self._away_since = now
        self._tell()
        if first:
            self._degraded(True)
        if first or (why != self._said[0] and now - self._said[1] >= self._pace.again):
            self._said = (why, now)
            self._log.warning(
                "shared limits: Redis does not answer; until it does each limit goes by its policy `away`",
                redis=self._where,
                error=why,
                nodes=self.nodes,
            )
        await self._redis.forget()

    def _came_back(self) -> None:
        away_since, failures = self._away_since, self._failures
        self._away_since, self._failures, self._why = None, 0, ""
        self._tell()
        if failures and away_since is not None:
            away_s = round(time.monotonic() - away_since, 1)
            self._log.info("shared limits: Redis answers again", redis=self._where, away_s=away_s, nodes=self.nodes)
            self._degraded(False)

    def _tell(self) -> None:
        state = (self.is_away, self.nodes)
        if state != self._state and self._told is not None:
            self._state = state
            self._told.shared_state(*state)
