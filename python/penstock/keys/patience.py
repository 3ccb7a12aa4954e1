"""What a verifier remembers of wrong secrets: which they were, and how long their senders have to wait."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Hashable, MutableMapping
from typing import Generic, TypeVar

KEYS = 1_024
WRONGS_OF_A_KEY = 16
SENDERS = 8_192
FIRST_S, LONGEST_S = 1.0, 60.0
FORGIVEN_S = 600.0
"""After so long without a wrong secret, a sender starts anew."""

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")


class Bounded(OrderedDict[KeyT, ValueT], Generic[KeyT, ValueT]):
    """Keeps the newest entries and forgets the others."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: KeyT, value: ValueT) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self._most:
            self.popitem(last=False)


class Delays:
    """Per key and sender: never per key alone, or anybody could lock its owner out."""

    def __init__(self, clock: Callable[[], float], most: int = SENDERS) -> None:
        self._clock = clock
        self._senders: Bounded[tuple[str, str], tuple[int, float, float]] = Bounded(most)

    def __len__(self) -> int:
        return len(self._senders)

    def left_s(self, key: str, sender: str) -> float:
        """How long this sender has to wait before another secret of this key is looked at; 0: not at all."""
        _, until, _ = self._senders.get((key, sender), (0, 0.0, 0.0))
        return max(0.0, until - self._clock())

    def rise(self, key: str, sender: str) -> None:
        """One more wrong secret: twice as long as before."""
        now = self._clock()
        count, _, last = self._senders.get((key, sender), (0, 0.0, now))
        count = count + 1 if now - last < FORGIVEN_S else 1
        self._senders[key, sender] = (count, now + min(LONGEST_S, FIRST_S * 2.0 ** min(count - 1, 16)), now)

    def end(self, key: str, sender: str) -> None:
        """A right secret: its sender is not guessing."""
        self._senders.pop((key, sender), None)

    def clear(self) -> None:
        """Forgets every sender."""
        self._senders.clear()


class Wrongs:
    """Digests of secrets that are known to be wrong, as long as the row of their key stays what it was."""

    def __init__(self, keys: int = KEYS, each: int = WRONGS_OF_A_KEY) -> None:
        self._keys: Bounded[str, Bounded[str, None]] = Bounded(keys)
        self._each = each

    def __len__(self) -> int:
        return sum(map(len, self._keys.values()))

    def has(self, key: str, digest: str) -> bool:
        """Whether this one was found wrong."""
        known: MutableMapping[str, None] = self._keys.get(key, {})
        return digest in known

    def add(self, key: str, digest: str) -> None:
        """Found wrong now."""
        known = self._keys.get(key)
        if known is None:
            known = Bounded(self._each)
        known[digest] = None
        self._keys[key] = known

    def forget(self, key: str) -> None:
        """The row of this key has changed."""
        self._keys.pop(key, None)

    def clear(self) -> None:
        """Every row may have changed."""
        self._keys.clear()


def sender_of(client: str | None) -> str:
    """Whom an address stands for: in IPv6 one sender has a whole /64, on a Unix socket there is but one."""
    if client is None:
        return ""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client[:64]
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if mapped := address.ipv4_mapped:
        return str(mapped)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
