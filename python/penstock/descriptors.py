"""Descriptors that a process inherits from whoever starts it."""

from __future__ import annotations

import fcntl
import os
from typing import NamedTuple


class Descriptors(NamedTuple):
    """Where to say that we are ready; whose end means that our parent is gone."""

    ready: int | None = None
    parent: int | None = None

    def check(self) -> None:
        """Raises ValueError unless they are open, each for its purpose: found before anything has started."""
        _check("--ready-fd", self.ready, os.O_WRONLY)
        _check("--parent-fd", self.parent, os.O_RDONLY)


def _check(option: str, fd: int | None, mode: int) -> None:
    if fd is None:
        return
    try:
        opened = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
    except (OSError, ValueError, OverflowError):
        raise ValueError(f"{option} {fd}: no such descriptor is open; let this process inherit it") from None
    if opened not in (mode, os.O_RDWR):
        use = "writing" if mode == os.O_WRONLY else "reading"
        raise ValueError(f"{option} {fd}: is not open for {use}; hand over the other end of the pipe")
