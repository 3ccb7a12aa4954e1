"""All that limits shared between nodes need in a serving process, wired: Redis, beats and leases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from penstock.config.model import Shared, as_written
from penstock.limits.beats import Beats, Told
from penstock.limits.leases import Leases
from penstock.limits.node import Member
from penstock.limits.policy import CONCURRENT
from penstock.limits.redis import Redis
from penstock.limits.server import parse_server
from penstock.observe.logs import Log

REASON = "shared limits: Redis does not answer"


class Sharing:
    """Imported only where `shared` is configured. Raises `PrivateFileError`."""

    def __init__(self, shared: Shared, data_dir: str, log: Log, degraded: Callable[[list[str]], None]) -> None:
        server = parse_server(shared.url)
        self._member = Member(data_dir)
        for warning in self._member.warnings:
            log.warning(warning)
        self._url = as_written(shared.url)
        self._redis = Redis(server, shared.password_file)
        self._beats = Beats(
            self._redis,
            self._member.id,
            shared.prefix,
            log,
            where=str(server),
            nodes=shared.nodes,
            degraded=lambda away: degraded([REASON] if away else []),
        )
        self._leases = Leases(self._redis, shared.prefix, self._beats, log)

    @property
    def lease(self) -> Callable[[bytes], Awaitable[bytes]]:
        """Handler of the question for leases."""
        return self._leases

    @property
    def is_away(self) -> bool:
        """Whether Redis does not answer."""
        return self._beats.is_away

    async def start(self, told: Told) -> None:
        """Tells native how it is, and goes on doing so; goes on without Redis when it is away."""
        await self._beats.start(told)

    async def stop(self) -> None:
        """Leaves the others; allowed when `start` failed, and more than once."""
        await self._beats.stop()
        await self._redis.close()
        self._member.close()

    async def reset(self, scope: str, name: str, use: bytes) -> bool:
        """Begins the limits of one place anew for all nodes; `use` is what native says of it. Raises `AwayError`."""
        return await self._leases.reset(tags(scope, name, use))

    def status(self) -> dict[str, object]:
        """For people and tools."""
        beats = self._beats
        state = {"away": beats.is_away, "error": beats.why or None, "nodes": beats.nodes}
        return {"url": self._url, **state, "node": self._member.id}


class _Use(msgspec.Struct, frozen=True):
    """What of native's report says which limit it is."""

    kind: str
    window_us: int | None = None
    period: str | None = None


_decode = msgspec.json.Decoder(list[_Use]).decode


def tags(scope: str, name: str, use: bytes) -> list[str]:
    """What the shared limits of one place are called, as native/core/src/limits calls them."""
    shared = [each for each in _decode(use) if each.kind != CONCURRENT]
    return [f"{scope}:{name}:{each.kind}:{each.period or each.window_us}" for each in shared]
