"""Listening sockets, bound before anything else starts, so that a taken port is found at once."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator

from penstock.config.addresses import Listen, parse_listen

LOCK_S = 5.0
"""How long another start may take to bind its socket in the same directory."""

BACKLOG = 4096  # the kernel cuts it to net.core.somaxconn


class BindError(Exception):
    """An address that cannot be listened on; the message says who has it or what to do."""


class Listener:
    """A bound socket, the address it really has, and whose it is: `data` or `admin`."""

    def __init__(self, sock: socket.socket, address: Listen, role: str) -> None:
        self.socket, self.address, self.role = sock, address, role
        self._file = _identity(address.path) if address.path else None

    def close(self) -> None:
        """Closes our descriptor and removes the file of a Unix socket, if it still is ours; once."""
        self.socket.close()
        ours, self._file = self._file, None
        with contextlib.suppress(OSError):
            if ours is not None and _identity(self.address.path) == ours:
                os.unlink(self.address.path)


def _identity(path: str) -> tuple[int, int, int]:
    """Which file a path leads to; the number of an inode alone is soon another's."""
    facts = os.lstat(path)
    return facts.st_dev, facts.st_ino, facts.st_ctime_ns


def bind_all(data: tuple[str, ...], admin: tuple[str, ...]) -> list[Listener]:
    """Every listener or none. Raises `BindError`."""
    bound: list[Listener] = []
    try:
        for role, texts in (("data", data), ("admin", admin)):
            for text in texts:
                bound.append(bind(parse_listen(text), role))
    except BindError:
        for listener in bound:
            listener.close()
        raise
    return bound


def bind(address: Listen, role: str) -> Listener:
    """One listener, accepting connections into its backlog. Raises `BindError`."""
    try:
        return _bind_unix(address, role) if address.path else _bind_tcp(address, role)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            advice = "stop it, or choose another address (port 0 takes a free one)"
            raise BindError(f"{address} is already in use{_holder(address)}; {advice}") from None
        if error.errno == errno.EACCES and 0 < address.port < 1024:
            raise BindError(f"{address}: ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher one") from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and address.path:
            advice = "let this user write to its directory, or choose another path"
            raise BindError(f"{address}: {error.strerror}; {advice}") from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise BindError(f"{address}: this machine has no such address") from None
        raise BindError(f"{address}: {error.strerror}") from None


def raise_file_limit() -> int:
    """Raises the soft limit on open files to the hard one; what it is now."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return hard
    return soft


def _bind_tcp(address: Listen, role: str) -> Listener:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # each family has a line of its own in `listen`
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address.host, address.port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return Listener(listener, address._replace(port=listener.getsockname()[1]), role)


def _bind_unix(address: Listen, role: str) -> Listener:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _alone_in(os.path.dirname(address.path)):
            _remove_stale(address.path)
            listener.bind(address.path)
            os.chmod(address.path, 0o660)  # nobody can connect before it listens
            listener.listen(BACKLOG)
        listener.setblocking(False)
        return Listener(listener, address, role)
    except (OSError, BindError):
        listener.close()
        raise


@contextlib.contextmanager
def _alone_in(directory: str) -> Iterator[None]:
    """One process at a time looks whether a file is stale and replaces it: else two would remove each other's."""
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        advice = "make it, or choose another path" if error.errno == errno.ENOENT else "choose another path"
        raise BindError(f"the directory {directory} of a Unix socket: {error.strerror}; {advice}") from None
    try:
        deadline = time.monotonic() + LOCK_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BindError(f"another process keeps {directory} locked; choose another path") from None
                time.sleep(0.01)
        yield
    finally:
        os.close(fd)


def _remove_stale(path: str) -> None:
    """Removes the file of a socket that nobody listens on; anything else there is not ours to remove."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise BindError(f"{path} is there and is not a socket; remove it or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError:
            pass
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _holder(address: Listen) -> str:
    """` by penstock (pid 7)` where /proc shows it."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), open(table, encoding="ascii") as lines:
            for line in lines:
                fields = line.split()
                if len(fields) > 9 and fields[3] == "0A" and fields[1].endswith(f":{address.port:04X}"):
                    inodes.add(f"socket:[{fields[9]}]")
    if address.path or not inodes:
        return ""
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{fd}") in inodes:
                    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as comm:
                        return f" by {comm.read().strip()} (pid {pid})"
    return ""
