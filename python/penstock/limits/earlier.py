"""What limits have used before a `data_dir` was lost, as far as the store's sums by the hour tell."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

from penstock.config.model import Config
from penstock.policy.names import meet
from penstock.store.asking import Sum
from penstock.store.usage_statements import NUMBERS, Question
from penstock.times import HOUR_US

HOURS = 48
"""So many are told one by one; what was before, by days of the zone in which budgets are counted."""
DAYS = 31
"""The longest period that is counted."""
OPEN = "open"
"""The key that every request has where none is asked for."""
MOST = 1_000_000
"""Sums of one question: more than there are keys."""
UNAVAILABLE = 503
REFUSALS = (400, UNAVAILABLE)
"""The first and the last status with which a request is refused; between them are those of failures, too."""

_TOLD = [NUMBERS.index(name) for name in ("requests", "prompt_tokens", "completion_tokens", "cost_nanousd")]
Used = tuple[str, str, int, int, int, int]
"""Scope, name, microseconds UTC by which it was used, requests, tokens, nano-dollars."""


class Sums(Protocol):
    """What is asked of the store."""

    async def sums(self, wanted: Question, limit: int, instances: Collection[str]) -> tuple[Sequence[Sum], object]: ...


class Places:
    """Which limits a sum is of."""

    def __init__(self, config: Config) -> None:
        self._limited, self._exact = config.limits.models, {name for name in config.models if "*" not in name}
        self._wide = sorted((name for name in config.models if "*" in name), key=len, reverse=True)
        self._providers = config.providers
        self.has_models, self.has_providers = bool(config.limits.models), bool(config.limits.providers)
        self._is_open = config.auth == "open"

    def key(self, name: str) -> tuple[str, str] | None:
        name = name or (OPEN if self._is_open else "")
        return ("key", name) if name else None

    def team(self, name: str) -> tuple[str, str] | None:
        return ("team", name) if name else None

    def model(self, name: str) -> tuple[str, str] | None:
        """The name asked for, else the configured one that it leads to."""
        if name in self._limited:
            return "model", name
        if not name or name in self._exact or name.partition("/")[0] in self._providers:
            return None
        found = next((pattern for pattern in self._wide if meet(pattern, name)), "")
        return ("model", found) if found in self._limited else None

    def provider(self, target: str) -> tuple[str, str] | None:
        name = target.partition("/")[0]
        return ("provider", name) if name else None


class Earlier:
    """Adds up what is of one place and time."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, int], tuple[int, int, int]] = {}

    def add(self, place: tuple[str, str] | None, until_us: int, numbers: tuple[int, ...], refused: int) -> None:
        """`refused`: so many of the requests were."""
        if place is None:
            return
        requests, prompt, completion, nanousd = (numbers[at] for at in _TOLD)
        at = (*place, until_us)
        before = self._found.get(at, (0, 0, 0))
        self._found[at] = (before[0] + requests - refused, before[1] + prompt + completion, before[2] + nanousd)

    def all(self) -> list[Used]:
        """In no order; never less than nothing, which native refuses with all the rest."""
        return [(*at, max(0, used[0]), max(0, used[1]), max(0, used[2])) for at, used in self._found.items()]


class Gathering:
    """Asks for all that was used since the longest period began; what was answered is not asked again unless
    for another configuration.
    """

    def __init__(self, config: Callable[[], Config]) -> None:
        self._config = config
        self._asked_by: Config | None = None
        self._answers: dict[tuple[int, int], list[Used]] = {}

    async def ask(self, store: Sums, now_us: int) -> list[Used]:
        """Raises `StoreError`; the next call goes on from there."""
        config = self._config()
        if config is not self._asked_by:
            self._asked_by = config
            self._answers.clear()
        places, hour, found = Places(config), now_us // HOUR_US, list[Used]()
        for span in spans(hour, config.limits.zone):
            used = self._answers.get(span)
            if used is None:
                used = await _ask(store, places, *span)
            if span[1] <= hour:
                self._answers[span] = used
            found += used
        return found


async def _ask(store: Sums, places: Places, since: int, until: int) -> list[Used]:
    """Of these hours."""
    found, until_us = Earlier(), until * HOUR_US - 1

    async def sums(*by: str, statuses: tuple[int, int] | None = None) -> Sequence[Sum]:
        wanted = Question(by=by, since_hour=since, until_hour=until, statuses=statuses)
        return (await store.sums(wanted, MOST, ()))[0]

    def add_of_key(key: str | int, team: str | int, numbers: tuple[int, ...], refused: int) -> None:
        for place in (places.key(str(key)), places.team(str(team)), ("global", "")):
            found.add(place, until_us, numbers, refused)

    of_keys = await sums("key", "team", "status")
    if not of_keys:
        return []  # nothing, as in a store that is new
    for _, (key, team, status), numbers in of_keys:
        if not _may_refuse(status):
            add_of_key(key, team, numbers, 0)
    # Each status is of one question alone: other nodes ship meanwhile.
    if any(_may_refuse(fields[-1]) for _, fields, _ in of_keys):
        for _, (key, team, target, status), numbers in await sums("key", "team", "target", "status", statuses=REFUSALS):
            if _may_refuse(status):
                add_of_key(key, team, numbers, _refused(target, status, numbers))
    if places.has_models or places.has_providers:
        for _, (model, target, status), numbers in await sums("model", "target", "status"):
            for place in (places.model(str(model)), places.provider(str(target))):
                found.add(place, until_us, numbers, _refused(target, status, numbers))
    return found.all()


def _may_refuse(status: str | int) -> bool:
    return 400 <= int(status) < 500 or status == UNAVAILABLE


def _refused(target: str | int, status: str | int, numbers: tuple[int, ...]) -> int:
    """How many of these requests were not let in: what a target answered was."""
    return numbers[_TOLD[0]] if not target and _may_refuse(status) else 0


def spans(hour: int, zone: str) -> Iterator[tuple[int, int]]:
    """From the oldest on: days of the zone as whole hours, then hours, up to the one that is running."""
    first = hour + 1 - HOURS
    bounds = sorted({*_midnights(first, zone), first})
    yield from itertools.pairwise(bounds)
    yield from ((at, at + 1) for at in range(first, hour + 1))


def _midnights(before: int, zone: str) -> Iterator[int]:
    """The hours in which days begin."""
    place = _place(zone)
    day = datetime.datetime.fromtimestamp(before * 3_600, place).date()
    for ago in range(DAYS + 1):
        at = datetime.datetime.combine(day - datetime.timedelta(days=ago), datetime.time(), place)
        yield int(at.timestamp()) // 3_600


def _place(zone: str) -> datetime.tzinfo:
    if zone == "UTC":
        return datetime.UTC
    import zoneinfo  # only where days and months begin elsewhere

    return zoneinfo.ZoneInfo(zone)
