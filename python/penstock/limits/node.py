"""What a process is called among those that share limits: the node's id, and its place on that node."""

from __future__ import annotations

import fcntl
import os
import re

from penstock import private_file
from penstock.private_file import PrivateFileError

NAME = "node"
MAX_BYTES = 64
PLACES = 64
_ID = re.compile(rb"[0-9a-f]{16}\n\Z")


class Member:
    """Counts as one of the nodes until `close`: each process on a `data_dir` does. One that is started again after it
    crashed is the same as before. Raises `PrivateFileError`.
    """

    def __init__(self, data_dir: str) -> None:
        path = os.path.join(os.path.abspath(data_dir), NAME)
        content, self.warnings = private_file.load(path, lambda: os.urandom(8).hex().encode() + b"\n", MAX_BYTES)
        if not _ID.match(content):
            raise PrivateFileError(f"{path} holds no id of a node; remove it, and the next start makes a new one")
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise PrivateFileError(f"{path}: {error.strerror}; let this user own and write it") from None
        try:
            place = _take_place(self._fd, path)
        except OSError as error:
            self.close()
            raise PrivateFileError(f"{path}: {error.strerror}; put data_dir on a local file system") from None
        except PrivateFileError:
            self.close()
            raise
        self.id = content.decode().strip() + (f".{place}" if place else "")

    def close(self) -> None:
        """Lets go of the place."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _take_place(fd: int, path: str) -> int:
    """The first byte of the file that no other process has locked."""
    for place in range(PLACES):
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError):
            continue
        return place
    raise PrivateFileError(f"{path}: {PLACES} processes have it already; give this one another data_dir")
