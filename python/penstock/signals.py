"""Signals before the event loop can take them: a stop is kept until the process is up, a hang-up means nothing yet."""

from __future__ import annotations

import os
import signal
from types import FrameType


class Early:
    """What came between the first line of a command and the first turn of its loop."""

    def __init__(self) -> None:
        self.stop = False

    def watch(self) -> None:
        """From here on nothing of this kind ends the process but a second stop."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._take)

    def _take(self, number: int, _: FrameType | None) -> None:
        if self.stop:
            os._exit(128 + number)
        self.stop = True
