"""One life of one process on a `data_dir`: its directory and the exclusive lock in it."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import time
from datetime import datetime

LOCK = "lock"
LOST_AND_FOUND = "lost+found"
"""Where journals have a volume of their own, this stands beside them, and root alone may look into it."""
LEFT_S = 60.0
"""What is older was left by a start that broke off: none takes that long to take its lock."""
_BEGAN = re.compile(r"\d{8}T\d{6}")
_ASIDE = re.compile(r"\.\d{8}T\d{6}-[0-9a-f]{8}\Z")


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
            where = f"data_dir {data_dir}: {error.strerror}: {error.filename}"
            raise InstanceError(f"{where}; {_advice(error)}") from None
        self.remove_dead()

    def close(self) -> None:
        """Lets go; an instance that left nothing behind leaves no directory."""
        if self._lock >= 0:
            _remove_if_empty(self.path)
            os.close(self._lock)
            self._lock = -1

    def remove_dead(self) -> None:
        """Directories of instances that ended without a word and left no data."""
        for name in os.listdir(self._journal):
            path = os.path.join(self._journal, name)
            if path == self.path or (name.startswith(".") and not _was_left(path)):
                continue
            try:
                left = os.listdir(path)
                if not left and name.startswith("."):
                    os.rmdir(path)
                if left != [LOCK]:
                    continue  # who held the lock of one that has data would be taken for its process
                lock = _lock(os.path.join(path, LOCK), create=False)
            except OSError:
                continue  # alive, or not an instance
            _remove_if_empty(path)
            os.close(lock)


def day_of(instance: str) -> int:
    """The day since 1970 on which a process began, of its name; 0: it has another kind of name."""
    began = _BEGAN.match(instance)
    try:
        # Not strptime: its module is 0.2 MiB, for this alone.
        return int(datetime.fromisoformat(f"{began[0]}Z").timestamp()) // 86_400 if began else 0
    except ValueError:
        return 0


def instances_in(journal: str) -> list[str]:
    """The names of all instances that have a directory there, the oldest first. Raises OSError."""
    return sorted(name for name in os.listdir(journal) if not name.startswith(".") and name != LOST_AND_FOUND)


def is_alive(data_dir: str) -> bool:
    """Whether a process serves from there; also where this user may not see it. Disturbs none that does."""
    journal = os.path.join(data_dir, "journal")
    try:
        names = instances_in(journal)
    except OSError as error:
        return isinstance(error, PermissionError)
    return any(is_live(os.path.join(journal, name)) for name in names)


def is_live(path: str) -> bool:
    """Whether the process of an instance, by its directory, is alive; also where that cannot be seen: who is taken for
    dead is shipped to the end."""
    return is_held(os.path.join(path, LOCK))


def is_held(path: str) -> bool:
    """Whether a process holds the lock of this file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        return not isinstance(error, FileNotFoundError | NotADirectoryError)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two that look do not see each other
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def _was_left(path: str) -> bool:
    """Whether a start broke off before its directory was seen under its name."""
    try:
        return bool(_ASIDE.match(os.path.basename(path))) and os.stat(path).st_mtime < time.time() - LEFT_S
    except OSError:
        return False


def _advice(error: OSError) -> str:
    match error.errno:
        case errno.ENOSPC:
            return "make room on the disk, or choose another data_dir"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "make a directory that this user can write, or choose another data_dir"
        case errno.ENOTDIR | errno.EEXIST:
            return "a file stands where a directory should be: remove it, or choose another data_dir"
        case errno.ENOLCK | errno.EOPNOTSUPP:
            return "its file system has no locks: put data_dir on a local one"
        case _:
            return "choose another data_dir"


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
