"""Who goes first on a busy core: native's threads, then Python's, hashing and shipping last (sched(7))."""

from __future__ import annotations

import contextlib
import os
import platform
import struct
import threading

NICE = 10
"""Of Python's threads once native's run."""
LAST_NICE = 19
SLICE_NS = 100_000_000
"""Of Python's threads: the longest that Linux takes, see `_lengthen_slice`."""

_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
_SCHED_ATTR = struct.Struct("=IIQiIQQQ")


def yield_to_native() -> None:
    """What decides gives way to what moves: on a busy machine native's threads, started by now, go first."""
    for thread in threading.enumerate():
        number = thread.native_id or 0
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, number, NICE)
        with contextlib.suppress(OSError):
            _lengthen_slice(number)


def go_last() -> None:
    """The calling thread takes only what requests leave over. On Linux it has a nice value and a policy of its own.

    A nice value alone lets it finish its time slice, up to 3 ms, before a request that has just come; an idle thread
    makes way at once.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LAST_NICE)
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _lengthen_slice(thread: int) -> None:
    """From Linux 6.12 on, who wakes preempts only threads of longer slices than its own; others let no one through
    before theirs is over, however nice they are. Elsewhere nothing changes.
    """
    number = _SCHED_SETATTR.get(platform.machine())
    if number is None:
        return
    import ctypes

    nice = os.getpriority(os.PRIO_PROCESS, thread)
    attributes = _SCHED_ATTR.pack(_SCHED_ATTR.size, os.SCHED_OTHER, 0, nice, 0, SLICE_NS, 0, 0)
    ctypes.CDLL(None).syscall(number, thread, ctypes.c_char_p(attributes), 0)
