"""The machine under the benchmark: facts that a figure means nothing without, ports, process trees."""

import os
import platform
import re
import resource
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LISTENING = "0A"
# Where Debian keeps nginx, and a user's PATH does not look.
SYSTEM_PATH = "/usr/sbin:/sbin"


class BenchError(Exception):
    """The run cannot go on, or one of its rows is void; the text says why and what to do."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def raise_file_limit() -> int:
    """Lifts the soft limit on open files to the hard one, for this process and its children; returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def find(command: str) -> str | None:
    """Path of a command, wherever Debian puts it."""
    return shutil.which(command, path=f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PATH}")


def free_port() -> int:
    """A port that nobody has: bound without SO_REUSEPORT, so that a forgotten process would show.

    It is free again when this returns: who starts a server on it must be ready to try another one.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def tree(root: int) -> list[int]:
    """The process and all its descendants."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            stat = read(entry / "stat")
            # The name, in brackets, may hold anything; the parent is the second field behind it.
            if stat:
                parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = [root]
    for pid in found:
        found.extend(child for child, parent in parents.items() if parent == pid)
    return found


def pss_kib(pids: list[int]) -> int:
    """Memory of processes as the kernel shares it out."""
    found = [re.search(r"^Pss:\s+(\d+) kB$", read(Path(f"/proc/{pid}/smaps_rollup")), re.MULTILINE) for pid in pids]
    return sum(int(each[1]) for each in found if each)


def cpu_ns(pids: list[int]) -> int:
    """What the scheduler has given to processes so far, to threads that have ended too (clock_getcpuclockid(3))."""
    return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in pids)


def check_listener(port: int, pids: list[int]) -> None:
    """Refuses to go on if anybody but these processes listens on the port: half the load would be theirs."""
    inodes: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in read(Path(table)).splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
    ours: set[str] = set()
    for pid in pids:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            ours.update(re.findall(r"^socket:\[(\d+)\]$", link(fd)))
    if not inodes:
        raise BenchError(f"nothing listens on port {port}")
    if inodes - ours:
        raise BenchError(f"a foreign process listens on port {port} too: find it with `ss -ltnp` and end it")


def facts(scratch: Path) -> dict[str, str]:
    """What a reader needs to judge the figures."""
    return {
        "cores": str(cores()),
        "cpu": next(iter(re.findall(r"model name\s*:\s*(.+)", read(Path("/proc/cpuinfo")))), platform.machine()),
        "kernel": platform.release(),
        "file system": file_system(scratch),
        "load before": f"{os.getloadavg()[0]:.2f}",
        "python": platform.python_version(),
        "nginx": output("nginx", "-v").rpartition("/")[2],
        "rustc": output("rustc", "--version").removeprefix("rustc "),
        "profile": profile(),
        "commit": commit(),
    }


def profile() -> str:
    """Name of the profile that the extension was compiled with; `none` without one."""
    ask = "from penstock._native import __profile__ as name; print(name or 'none')"
    return subprocess.run([sys.executable, "-c", ask], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def commit() -> str:
    """Short name of the commit, with a `+` if the tree differs from it."""
    short = output("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD")
    changed = output("git", "-C", str(ROOT), "status", "--porcelain", "-uno", "--", ".", ":!bench/results")
    return short + ("+" if changed else "")


def file_system(path: Path) -> str:
    """Type of the file system that holds the path."""
    best = ("", "unknown")
    for line in read(Path("/proc/mounts")).splitlines():
        _, point, kind, *_ = line.split()
        if path.resolve().is_relative_to(point) and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]


def output(*command: str) -> str:
    """What a command says, on either stream; empty if it is missing."""
    found = find(command[0])
    if found is None:
        return ""
    done = subprocess.run([found, *command[1:]], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


def read(path: Path) -> str:
    """Text of a file of /proc, which may be gone by now."""
    try:
        return path.read_text()
    except OSError:
        return ""


def link(path: Path) -> str:
    """Where a link of /proc points, if it is still there."""
    try:
        return str(path.readlink())
    except OSError:
        return ""
