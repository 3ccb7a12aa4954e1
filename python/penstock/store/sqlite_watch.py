"""Noticing that a file of SQLite was written to, without asking SQLite, for which a thread would have to be woken."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

LOOK_S = 0.5
LATE_S = 5.0
"""What is being written can be read only once it is on disk, and times of files are coarse: it is asked for so long."""

Stamp = tuple[tuple[int, int, int], ...] | None


class FileWatch:
    """Calls `woken` when the file at `path`, or what is written ahead of it, was written to, by whomever; begun when it
    is made, on the running loop. A `Watch`.
    """

    hears = True

    def __init__(self, path: str, woken: Callable[[], None], *, look_s: float = LOOK_S, late_s: float = LATE_S) -> None:
        self._paths, self._woken = (path, f"{path}-wal"), woken
        self._look_s, self._late_s = look_s, late_s
        self._loop = asyncio.get_running_loop()
        self._seen, self._fresh_until = self._stamp(), 0.0
        self._next = self._loop.call_later(look_s, self._look)

    async def stop(self) -> None:
        """Looks no more; may be called again."""
        self._next.cancel()

    def _look(self) -> None:
        self._next = self._loop.call_later(self._look_s, self._look)
        stamp = self._stamp()
        if stamp != self._seen:
            self._seen, self._fresh_until = stamp, self._loop.time() + self._late_s
        if self._loop.time() < self._fresh_until:
            self._woken()

    def _stamp(self) -> Stamp:
        """Another one once something was written. None: they are not there, which whoever asks SQLite hears, too."""
        try:
            found = [os.stat(path) for path in self._paths]
        except OSError:
            return None
        return tuple((each.st_ino, each.st_size, each.st_mtime_ns) for each in found)
