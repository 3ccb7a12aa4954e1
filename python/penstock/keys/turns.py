"""A queue in which everybody has a turn, however much others have put into it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

EntryT = TypeVar("EntryT")


class Turns(Generic[EntryT]):
    """The entries of one come in their order; of several, one of each in rotation."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, OrderedDict[int, EntryT]] = OrderedDict()
        self._tickets = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, who: str, entry: EntryT) -> int:
        """Behind what is there of the same one; the ticket by which it may be dropped."""
        self._tickets += 1
        self._of.setdefault(who, OrderedDict())[self._tickets] = entry
        self._count += 1
        return self._tickets

    def take(self) -> EntryT:
        """The next one, taken out. Raises KeyError when there is none."""
        if not self._of:
            raise KeyError("nobody waits")
        who = next(iter(self._of))
        _, entry = self._of[who].popitem(last=False)
        self._shrink(who)
        if who in self._of:
            self._of.move_to_end(who)
        return entry

    def drop(self, who: str, ticket: int) -> None:
        """Takes one out, if it is still there."""
        entries = self._of.get(who)
        if entries is not None and ticket in entries:
            del entries[ticket]
            self._shrink(who)

    def _shrink(self, who: str) -> None:
        self._count -= 1
        if not self._of[who]:
            del self._of[who]
