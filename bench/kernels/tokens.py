"""Counting tokens beside tiktoken, one thread, over the texts of the tests: `python -m bench.kernels.tokens`.

Both count the same bytes in turn; a figure is the best of several rounds. Fails where counts differ, where prose is not
twice as fast as tiktoken, or where 100 KB meant to hurt takes more than 5 ms.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from penstock.tokens import count
from tests.support import texts, tiktoken_oracle

T = TypeVar("T")
ROUNDS = 9
FASTER = 2.0
HOSTILE_MS = 5.0
HOSTILE = ("'a' repeated", "' ' repeated", f"{chr(0x301)!r} repeated")


def best(work: Callable[[], T], rounds: int = ROUNDS) -> tuple[float, T]:
    """Seconds of the fastest round after a first one, and what it found."""
    fastest, found = float("inf"), work()
    for _ in range(rounds):
        start = time.perf_counter()
        found = work()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest, found


def main() -> int:
    """Returns 1 when a bound is missed."""
    missed = []
    for name in ("o200k_base", "cl100k_base"):
        oracle = tiktoken_oracle.encoding(name)
        print(f"{name:44} {'ms':>9} {'MB/s':>8} {'tiktoken MB/s':>14} {'ratio':>7}")
        for kind, text in texts.corpus():
            data = text.encode()
            ours, counted = best(partial(count, data, name))
            theirs, tokens = best(partial(oracle.encode_ordinary, text))
            expected = len(tokens)
            size = len(data) / 1e6
            print(f"{kind:44} {ours * 1e3:9.2f} {size / ours:8.1f} {size / theirs:14.1f} {theirs / ours:7.1f}")
            if counted != expected:
                missed.append(f"{name}, {kind}: {counted} tokens, tiktoken says {expected}")
            if kind == "prose" and theirs / ours < FASTER:
                missed.append(f"{name}, prose: less than {FASTER} times as fast as tiktoken")
            if kind in HOSTILE and ours * 1e3 > HOSTILE_MS:
                missed.append(f"{name}, {kind}: more than {HOSTILE_MS} ms")
    for fault in missed:
        print(fault, file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
