"""What the demo provider says and how fast: a seeded text generator with believable pacing."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

_SENTENCES = (
    "Water waits behind the dam until somebody opens the gate.",
    "A penstock carries it down to the turbine with as little loss as the pipe allows.",
    "What arrives at the bottom is the same water, only faster and more useful.",
    "Good pipes are dull: they hold the pressure, they do not leak and nobody talks about them.",
    "The gate at the top decides who gets how much, and the gauges say what went through.",
    "When the turbine stops, the gate closes at once, or the hammer breaks the wall.",
    "One reads the flow by the meter, not by the noise.",
)
_TOKEN = re.compile(r"\s*\S{1,6}")


@dataclass(frozen=True)
class Pace:
    """Seconds until the first token, then tokens per second; `jitter` is the spread around both (0 to 1)."""

    first_token: float = 0.25
    tokens_per_second: float = 60.0
    jitter: float = 0.4

    @classmethod
    def instant(cls) -> "Pace":
        """No waiting at all."""
        return cls(first_token=0.0, tokens_per_second=0.0, jitter=0.0)


@dataclass(frozen=True)
class Reply:
    """The tokens of one answer; `cut` when the caller's token limit ended it."""

    tokens: tuple[str, ...]
    cut: bool

    @property
    def text(self) -> str:
        """What they say."""
        return "".join(self.tokens)


def tokens_of(text: str) -> tuple[str, ...]:
    """Splits text into pieces of at most six letters that join to the same text."""
    pieces = _TOKEN.findall(text)
    rest = text[sum(len(piece) for piece in pieces) :]
    return (*pieces, rest) if rest else tuple(pieces)


class Voice:
    """Makes replies and paces them. The same seed says the same things at the same intervals."""

    def __init__(self, seed: int = 1, pace: Pace | None = None) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a script's dice, no secret
        self._pace = pace or Pace()

    def reply(self, limit: int | None = None) -> Reply:
        """A few sentences, at most `limit` tokens."""
        first = self._random.randrange(len(_SENTENCES))
        text = " ".join(_SENTENCES[(first + step) % len(_SENTENCES)] for step in range(3))
        return self.say(text, limit)

    def say(self, text: str, limit: int | None = None) -> Reply:
        """This very text, at most `limit` tokens of it."""
        tokens = tokens_of(text)
        if limit is not None and 0 <= limit < len(tokens):
            return Reply(tokens[:limit], cut=True)
        return Reply(tokens, cut=False)

    async def think(self, tokens: int = 0) -> None:
        """Waits as long as the first token takes, and `tokens` more."""
        wait = self._spread(self._pace.first_token) + tokens * self._gap()
        if wait > 0:
            await asyncio.sleep(wait)

    async def speak(self, tokens: Sequence[str]) -> AsyncIterator[str]:
        """Yields the tokens, each after its pause."""
        await self.think()
        for number, token in enumerate(tokens):
            gap = self._spread(self._gap()) if number else 0.0
            if gap > 0:
                await asyncio.sleep(gap)
            yield token

    def _gap(self) -> float:
        return 1.0 / self._pace.tokens_per_second if self._pace.tokens_per_second > 0 else 0.0

    def _spread(self, seconds: float) -> float:
        return seconds * (1.0 + self._pace.jitter * self._random.uniform(-1.0, 1.0))
