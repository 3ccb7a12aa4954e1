"""Durations, sizes and amounts of money as people write them, both ways."""

from __future__ import annotations

import re

_DURATION_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZE_BYTES = {
    "": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
    "TB": 10**12, "TiB": 1 << 40,
}  # fmt: skip
_USD = re.compile(r"(\d{1,9})(?:\.(\d{1,9}))?\Z", re.ASCII)
NANOUSD = 10**9
_NUMBER = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s?([A-Za-z]*)\Z", re.ASCII)


def parse_duration(text: str) -> int:
    """Milliseconds of `100ms`, `5s`, `1.5m`, `1h`, `2d` or `0`. Raises ValueError."""
    if text == "0":
        return 0
    return _parse(text, _DURATION_MS, "a duration such as 100ms, 5s, 2m or 1h")


def parse_size(text: str) -> int:
    """Bytes of `64MiB`, `10MB`, `512` …. Raises ValueError."""
    return _parse(text, _SIZE_BYTES, "a size such as 64MiB or 10MB")


def parse_usd(text: str) -> int:
    """Nano-dollars of `10`, `1.25`, `0.000000001`: exact. Raises ValueError."""
    found = _USD.match(text)
    if not found:
        raise ValueError("expected an amount of usd such as 10 or 1.25, at most 9 digits behind the point")
    return int(found[1]) * NANOUSD + int((found[2] or "").ljust(9, "0"))


def parse_factor(text: str) -> int:
    """Billionths of `2`, `0.5`: exact. Raises ValueError."""
    found = _USD.match(text)
    if not found:
        raise ValueError("expected a factor such as 0.5 or 2, at most 9 digits behind the point")
    return int(found[1]) * NANOUSD + int((found[2] or "").ljust(9, "0"))


def show_usd(nanousd: int) -> str:
    """The shortest exact way to write it."""
    whole, fraction = divmod(nanousd, NANOUSD)
    return f"{whole}.{fraction:09}".rstrip("0").rstrip(".")


def show_duration(ms: int) -> str:
    """The shortest exact way to write it."""
    for unit in ("h", "m", "s"):
        if ms and ms % _DURATION_MS[unit] == 0:
            return f"{ms // _DURATION_MS[unit]}{unit}"
    return f"{ms}ms" if ms else "0"


def show_size(size: int) -> str:
    """The shortest exact way to write it."""
    for unit in ("TiB", "GiB", "MiB", "KiB", "TB", "GB", "MB", "KB"):
        if size and size % _SIZE_BYTES[unit] == 0:
            return f"{size // _SIZE_BYTES[unit]}{unit}"
    return str(size)


def _parse(text: str, units: dict[str, int], what: str) -> int:
    found = _NUMBER.match(text)
    if not found or found[2] not in units:
        raise ValueError(f"expected {what}")
    whole, _, fraction = found[1].partition(".")
    scale = units[found[2]]
    exact, rest = divmod(int(whole + fraction) * scale, int("1" + "0" * len(fraction)))
    if rest:
        raise ValueError(f"expected {what}, in whole milliseconds or bytes")
    return exact
