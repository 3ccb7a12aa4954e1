"""One life of one process on a `data_dir`: its directory and the exclusive lock in it."""

from __future__ import annotations

import fcntl
import os
import time

LOCK = "lock"


class InstanceError(Exception):
    """`data_dir` cannot be used; the message says why."""


class Instance:
    """Holds `data_dir/journal/<id>/lock` until `close`; several may share a `data_dir`."""

    def __init__(self, data_dir: str) -> None:
        self.id = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.urandom(4).hex()}"
        self._journal = os.path.join(os.path.abspath(data_dir), "journal")
        self.path = os.path.join(self._journal, self.id)
        aside = os.path.join(self._journal, f".{self.id}")
        try:
            os.makedirs(data_dir, mode=0o700, exist_ok=True)
            os.makedirs(self._journal, mode=0o700, exist_ok=True)
            os.mkdir(aside, mode=0o700)
            self._lock = _lock(os.path.join(aside, LOCK))
            os.rename(aside, self.path)  # seen only once it is locked
        except OSError as error:
            raise InstanceError(f"data_dir {data_dir}: {error.strerror}: {error.filename}") from None
        self._remove_dead()

    def close(self) -> None:
        """Lets go; an instance that left nothing behind leaves no directory."""
        if self._lock >= 0:
            _remove_if_empty(self.path)
            os.close(self._lock)
            self._lock = -1

    def _remove_dead(self) -> None:
        """Directories of instances that ended without a word and left no data."""
        for name in os.listdir(self._journal):
            path = os.path.join(self._journal, name)
            if path == self.path or name.startswith("."):
                continue
            try:
                lock = _lock(os.path.join(path, LOCK), create=False)
            except OSError:
                continue  # alive, or not an instance
            _remove_if_empty(path)
            os.close(lock)


def _lock(path: str, *, create: bool = True) -> int:
    """An open descriptor that holds the lock; raises BlockingIOError when another process does."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if create else 0), 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


def _remove_if_empty(path: str) -> None:
    try:
        if os.listdir(path) == [LOCK]:
            os.unlink(os.path.join(path, LOCK))
            os.rmdir(path)
    except OSError:
        return
