"""Who goes first on a busy core: native's threads, then Python's, hashing and shipping last (sched(7))."""

from __future__ import annotations

import contextlib
import os
import platform
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

NICE = 10
"""Of Python's threads once native's run."""
LAST_NICE = 19
_JOURNAL = "penstock-journa"
"""The thread that writes the journal, as Linux cuts its name: native/core/src/journal/thread.rs."""
SLICE_NS = 100_000_000
"""Of Python's threads and the journal's: the longest that Linux takes, see `_lengthen_slice`."""

_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
_SCHED_ATTR = struct.Struct("=IIQiIQQQ")


def yield_to_native(*, holds_answers: bool) -> None:
    """What decides gives way to what moves: on a busy machine native's threads, started by now, go first.

    Of those the journal's has its full share of a core, but interrupts no request when it wakes: requests take
    microseconds, and its entries wait for milliseconds anyway, unless it `holds_answers` until they are on disk.
    """
    for number in () if holds_answers else _native_threads(_JOURNAL):
        _interrupt_nobody(number)
    for thread in threading.enumerate():
        number = thread.native_id or 0
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, number, NICE)
        with contextlib.suppress(OSError):
            _lengthen_slice(number)


def go_last() -> None:
    """The calling thread takes only what requests leave over. On Linux it has a nice value and a policy of its own.

    A nice value alone lets it finish its time slice, up to 3 ms, before a request that has just come; an idle thread
    makes way at once. Python's lock it must take for microseconds at a time only, or the loop waits for it: on two
    cores that other threads kept busy one hash in 85 held up the loop for 20 to 280 ms, at less than one hash a second.
    """
    _take_the_rest(threading.get_native_id())


def _take_the_rest(thread: int) -> None:
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, thread, LAST_NICE)
        os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))


def _interrupt_nobody(thread: int) -> None:
    with contextlib.suppress(OSError):
        os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))
        _lengthen_slice(thread)


def _native_threads(name: str) -> Iterator[int]:
    """Those of this process that have a name, which Linux cuts after 15 bytes."""
    with contextlib.suppress(OSError):
        for each in Path("/proc/self/task").iterdir():
            with contextlib.suppress(OSError):
                if (each / "comm").read_text().rstrip("\n") == name:
                    yield int(each.name)


def _lengthen_slice(thread: int) -> None:
    """From Linux 6.12 on, who wakes preempts only threads of longer slices than its own; others let no one through
    before theirs is over, however nice they are. Elsewhere nothing changes.
    """
    number = _SCHED_SETATTR.get(platform.machine())
    if number is None:
        return
    import ctypes

    policy, nice = os.sched_getscheduler(thread), os.getpriority(os.PRIO_PROCESS, thread)
    attributes = _SCHED_ATTR.pack(_SCHED_ATTR.size, policy, 0, nice, 0, SLICE_NS, 0, 0)
    ctypes.CDLL(None).syscall(number, thread, ctypes.c_char_p(attributes), 0)
