"""Memory that only starting needed."""

from __future__ import annotations

import contextlib
import gc
import mmap
import re
from collections.abc import Callable, Iterator

_AREA = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ +/")
_OWN = re.compile(r"Anonymous: +(\d+) kB")


def settle() -> None:
    """To be called once, when all is up: what is here now stays, so later collections need not look at it.

    What starting took and freed goes back to the system (malloc_trim(3); elsewhere than with glibc it stays), and so do
    the pages of code (madvise(2); Linux): those that are needed again are still in the system's cache.
    """
    import ctypes

    gc.collect()
    gc.freeze()
    system = ctypes.CDLL(None)
    trim = getattr(system, "malloc_trim", None)
    if trim is not None:
        trim(0)
    if hasattr(mmap, "MADV_DONTNEED"):
        _let_go_of_code(system.madvise)


def _let_go_of_code(advise: Callable[..., int]) -> None:
    import ctypes

    with contextlib.suppress(OSError), open("/proc/self/smaps", encoding="utf-8", errors="replace") as areas:
        for begin, end in list(unchanged(areas)):
            advise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), mmap.MADV_DONTNEED)


def unchanged(areas: Iterator[str]) -> Iterator[tuple[int, int]]:
    """Begin and end of the areas of files, in the form of proc_pid_smaps(5), that nobody here can write to and of which
    no page is another than the file's.
    """
    area = None
    for line in areas:
        if found := _AREA.match(line):
            begin, end, rights = found.groups()
            is_code = rights.startswith("r") and "w" not in rights
            area = (int(begin, 16), int(end, 16)) if is_code else None
        elif area is not None and (own := _OWN.match(line)):
            if own[1] == "0":
                yield area
            area = None
