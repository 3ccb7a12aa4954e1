"""How far a sink is in each journal: kept in `data_dir`, by one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os

import msgspec
from msgspec import Struct

_MODE = 0o600


class Spot(Struct, frozen=True, omit_defaults=True):
    """A place in one journal: all before it was given to the sink."""

    segment: int = 0
    offset: int = 0
    sequence: int = 0
    """Of the last entry before it; 0: there is none."""
    open_segment: int = 0
    """Where the oldest stream began that has no record yet; this segment if none is open."""
    is_ended: bool = False
    """The journal's own end has been read."""
    is_done: bool = False
    """The process is gone, and nothing more will come."""
    is_unread: bool = False
    """It is known to be there, and the sink has not come to it yet."""
    is_anywhere: bool = False
    """What is before it is not the sink's, and nobody has read how many entries that are."""


class _Kept(Struct):
    sink: str
    """What it is called, for people."""
    journals: dict[str, Spot]


_decode = msgspec.json.Decoder(_Kept).decode


def identifier(kind: str, place: str) -> str:
    """A name of a file for a sink: another place is another sink."""
    return f"{kind}-{hashlib.sha256(place.encode()).hexdigest()[:12]}"


class Positions:
    """The spots of one sink, in a directory of its own. Whoever holds the lock may change them."""

    def __init__(self, place: str, sink: str) -> None:
        self._place, self._sink = place, sink
        self._lock = -1
        self._kept: dict[str, Spot] = {}
        self.spots: dict[str, Spot] = {}
        self._dropped = list[str]()
        """Since they were kept."""
        self.is_new = False
        """The sink was never fed before."""

    @property
    def is_held(self) -> bool:
        """Whether this process feeds the sink."""
        return self._lock >= 0

    def take(self) -> bool:
        """Locks and reads them; False: another process has them. Raises OSError; ValueError: the file is damaged."""
        os.makedirs(self._place, mode=0o700, exist_ok=True)
        lock = os.open(os.path.join(self._place, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._kept, self.is_new = self._read()
        except BlockingIOError:
            os.close(lock)
            return False
        except BaseException:
            os.close(lock)
            raise
        self._lock, self.spots = lock, dict(self._kept)
        return True

    def keep(self) -> None:
        """Replaces the file. Raises OSError, and then what was kept before stands."""
        aside = f"{self._file}.new"
        try:
            fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
            with os.fdopen(fd, "wb") as file:
                file.write(msgspec.json.encode(_Kept(self._sink, self.spots)) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, self._file)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(aside)
            raise
        self._kept, self._dropped = dict(self.spots), []

    def drop(self, instance: str) -> None:
        """Its journal is gone, and nothing more is to be said of it."""
        del self.spots[instance]
        self._dropped.append(instance)

    def go_back(self) -> None:
        """To what was kept last. Journals that came since are unread again: one that goes now, or has gone, is not
        forgotten."""
        self.spots = dict.fromkeys([*self.spots, *self._dropped], Spot(is_unread=True)) | self._kept
        self._dropped = []

    def release(self) -> None:
        """Lets another process feed the sink."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @property
    def _file(self) -> str:
        return os.path.join(self._place, "position.json")

    def _read(self) -> tuple[dict[str, Spot], bool]:
        try:
            with open(self._file, "rb") as file:
                return _decode(file.read()).journals, False
        except FileNotFoundError:
            return {}, True
        except msgspec.MsgspecError as error:
            raise ValueError(f"{self._file}: {error}; remove it, and the sink begins with what comes then") from None
