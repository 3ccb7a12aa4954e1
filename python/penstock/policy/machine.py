"""What this machine, or the container around us, gives: memory and cores."""

from __future__ import annotations

import os

GIB = 1 << 30


def memory_bytes(root: str = "/") -> int:
    """The smaller of the cgroup's limit and the host's memory; 0 when neither can be told."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if root == "/" else []
    for directory in _cgroups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _line(f"{directory}/{name}")
            if text.isdecimal():
                limits.append(int(text))
    return min(limits, default=0)


def cores(root: str = "/") -> int:
    """How many cores run at once: what affinity allows, at most what the cgroup's quota pays for, at least 1."""
    found = len(os.sched_getaffinity(0)) if root == "/" else 1 << 16
    for directory in _cgroups(root, "cpu"):
        quota, _, period = _line(f"{directory}/cpu.max").partition(" ")
        if not quota:
            quota, period = _line(f"{directory}/cpu.cfs_quota_us"), _line(f"{directory}/cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(period):
            found = min(found, -(-int(quota) // int(period)))
    return max(1, found)


def auto_inflight_bytes(memory: int, max_body: int) -> int:
    """A quarter of the memory, at most 1 GiB, at least one largest body."""
    return max(min(GIB, memory // 4) if memory else GIB, max_body)


def _cgroups(root: str, controller: str) -> list[str]:
    """Our cgroup and those above it, of version 2 and 1: the tightest of them holds."""
    base = f"{root.rstrip('/')}/sys/fs/cgroup"
    found = [base, f"{base}/{controller}"]
    for line in _text(f"{root.rstrip('/')}/proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        below = base if not controllers else f"{base}/{controller}"
        if controllers and controller not in controllers.split(","):
            continue
        parts = [part for part in path.split("/") if part and part != ".."]
        found += [f"{below}/{'/'.join(parts[:n])}" for n in range(1, len(parts) + 1)]
    return found


def _line(path: str) -> str:
    return _text(path).partition("\n")[0].strip()


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(65_536)
    except (OSError, UnicodeDecodeError):
        return ""
