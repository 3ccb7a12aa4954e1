"""Answers native's questions for leases: each is one call of the script in Redis; what it says is native's business."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import msgspec

from penstock.limits.beats import Beats
from penstock.limits.script import AwayError, Call, Refused, Reply, Runner, Script
from penstock.observe.logs import Log

PATIENCE_S = 2.0
"""As long as the question may take; the request that it was asked for has gone its way much sooner."""

SAID_S = 60.0
"""The same error is told no more often."""

SAID = 16
"""So many errors are told in that time; further ones not."""

_NEED = 12
"""Of the arguments; the others are of the reply."""
_STATUS, _GRANTED = 0, 5


class Ask(msgspec.Struct, frozen=True):
    """One call: the limit, and what the script is given."""

    tag: str
    args: tuple[str, ...]


_decode = msgspec.json.Decoder(list[Ask]).decode
_encode = msgspec.json.Encoder().encode


class Leases:
    """Handler of the question."""

    def __init__(self, redis: Runner, prefix: str, beats: Beats, log: Log) -> None:
        self._redis, self._prefix, self._beats, self._log = redis, prefix, beats, log
        self._lease, self._reset = Script("lease.lua"), Script("reset.lua")
        self._said: dict[str, float] = {}

    async def __call__(self, payload: bytes) -> bytes:
        """A JSON list: of each ask the numbers of the reply, null where there was none."""
        asks = _decode(payload)
        replies = await self._ask(asks)
        for why in {reply.why for reply in replies if isinstance(reply, Refused)}:
            self._beats.hurry()
            self._say(why)
        return _encode([None if isinstance(reply, Refused) else reply for reply in replies])

    async def reset(self, tags: Iterable[str]) -> bool:
        """Begins these limits anew for all nodes; whether anything was counted. Raises `AwayError`."""
        calls = [Call((self._key(tag),)) for tag in tags]
        if not calls:
            return False
        replies = await self._redis.run(self._reset, calls, PATIENCE_S)
        for reply in replies:
            if isinstance(reply, Refused):
                raise AwayError(reply.why)
        return any(reply == 1 for reply in replies)

    async def _ask(self, asks: list[Ask]) -> list[Reply]:
        if self._beats.is_away:
            return [None] * len(asks)
        calls = [Call((self._key(ask.tag),), ask.args) for ask in asks]
        try:
            replies = await self._redis.run(self._lease, calls, PATIENCE_S)
        except AwayError:
            self._beats.hurry()
            return [None] * len(asks)
        self._beats.refused(_refused(asks, replies))
        return replies

    def _say(self, why: str) -> None:
        now = time.monotonic()
        self._said = {each: at for each, at in self._said.items() if now - at <= SAID_S}
        if why not in self._said and len(self._said) < SAID:
            self._said[why] = now
            self._log.warning("shared limits: Redis refused a call", error=why)

    def _key(self, tag: str) -> str:
        return f"{self._prefix}:{{{tag}}}"


def _refused(asks: Iterable[Ask], replies: Iterable[Reply]) -> Iterator[str]:
    """The limits of which there was less left than was needed."""
    for ask, reply in zip(asks, replies, strict=True):
        if isinstance(reply, list) and reply[_STATUS] == 0 and reply[_GRANTED] == 0 and ask.args[_NEED] != "0":
            yield ask.tag
