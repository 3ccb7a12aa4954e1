"""Memory that only starting needed."""

from __future__ import annotations

import gc


def settle() -> None:
    """To be called once, when all is up: what is here now stays, so later collections need not look at it, and what
    starting took and freed goes back to the system (malloc_trim(3); elsewhere than with glibc it stays)."""
    import ctypes

    gc.collect()
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
