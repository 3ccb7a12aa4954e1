"""What a sink is: whoever takes records as objects. A new one is a file here, and a line in `table.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

Object = dict[str, Any]
"""A record as `penstock audit query --json` prints it; or `{"gap": {…}}`, see `Gap`."""


class LostError(OSError):
    """What was taken since it was settled last may be lost."""


class Sink(Protocol):
    """Takes records in a thread of its own: it may block, and slows nobody but itself.

    All methods but `close` are called from that thread.
    """

    def take(self, batch: Sequence[Object]) -> None:
        """Takes all of them, in their order. Raises: it could not; the same will come again, all of them. `LostError`:
        and before them all that came since it was settled last."""

    def settle(self) -> None:
        """Whatever was taken outlasts a cut of power from now on, as far as that can be had. Raises: it may not, and
        all that was taken since the last time will come again."""

    def close(self) -> None:
        """Gives up what blocks, from any thread; `take` raises from now on."""
