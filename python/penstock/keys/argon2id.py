"""Argon2id (RFC 9106) and its PHC text, in memory of our own that goes back to the system when nobody hashes.

glibc keeps a block of 19 MiB for each thread that ever hashed, and malloc_trim does not give it back (the top of a
second arena); with a fixed M_MMAP_THRESHOLD it comes back, but faulting its pages in costs half as much again as the
hash. So argon2's allocation hooks get blocks from here: kept from one hash to the next, dropped by `Blocks.drop`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import mmap
import os
import re
import threading
from typing import Any, NamedTuple

SALT_BYTES, HASH_BYTES = 16, 32
LARGEST_KIB = 1 << 20
"""What a stored hash may ask for: one that was tampered with shall not take the machine down."""

_PHC = re.compile(
    r"\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})\Z", re.ASCII
)
_NO_MEMORY = -22
"""ARGON2_MEMORY_ALLOCATION_ERROR."""


class DamagedHashError(ValueError):
    """A stored hash that is none; says nothing of its text."""


class Cost(NamedTuple):
    """What one hash takes: KiB of memory, passes over it, lanes."""

    memory_kib: int
    iterations: int
    parallelism: int


OWASP = Cost(19 * 1024, 2, 1)
"""The least that OWASP's password storage cheat sheet accepts, and our floor and default."""


class Encoded(NamedTuple):
    """A stored hash, taken apart."""

    cost: Cost
    salt: bytes
    hash: bytes

    def __repr__(self) -> str:
        return f"Encoded({self.cost})"

    def __str__(self) -> str:
        memory, iterations, parallelism = self.cost
        parameters = f"m={memory},t={iterations},p={parallelism}"
        return f"$argon2id$v=19${parameters}${_to_base64(self.salt)}${_to_base64(self.hash)}"


def decode(text: str) -> Encoded:
    """Takes a PHC text apart. Raises `DamagedHashError`."""
    if not (found := _PHC.match(text)):
        raise DamagedHashError("a stored hash is not an Argon2id hash that we can check")
    memory, iterations, parallelism = (int(found[n]) for n in (1, 2, 3))
    if not (8 * parallelism <= memory <= LARGEST_KIB and iterations and parallelism):
        raise DamagedHashError("a stored hash asks for more memory or passes than we grant")
    return Encoded(Cost(memory, iterations, parallelism), _from_base64(found[4]), _from_base64(found[5]))


class Blocks:
    """The memory in which hashes are computed, and computing them; any number of threads at a time."""

    def __init__(self) -> None:
        self._free: list[mmap.mmap] = []
        self._here = threading.local()
        self._hooks: tuple[Any, Any] | None = None

    def hash(self, secret: bytes, cost: Cost) -> str:
        """A salted hash as PHC text."""
        salt = os.urandom(SALT_BYTES)
        return str(Encoded(cost, salt, self._compute(secret, salt, cost, HASH_BYTES)))

    def is_right(self, secret: bytes, encoded: Encoded) -> bool:
        """Whether it is the hash of this secret; compared in constant time."""
        found = self._compute(secret, encoded.salt, encoded.cost, len(encoded.hash))
        return hmac.compare_digest(found, encoded.hash)

    def drop(self) -> None:
        """Gives back what no hash is using."""
        while self._pop() is not None:
            pass

    def _compute(self, secret: bytes, salt: bytes, cost: Cost, length: int) -> bytes:
        from argon2.low_level import ARGON2_VERSION, Type, core, error_to_str, ffi  # only where something is hashed

        if self._hooks is None:
            self._hooks = self._make_hooks(ffi)
        out = ffi.new("uint8_t[]", length)
        given, salted = (ffi.from_buffer("uint8_t[]", each) for each in (secret, salt))
        allocate, free = self._hooks
        lanes = cost.parallelism
        context = {
            "out": out, "outlen": length, "version": ARGON2_VERSION, "flags": 0,
            "pwd": given, "pwdlen": len(secret), "salt": salted, "saltlen": len(salt),
            "m_cost": cost.memory_kib, "t_cost": cost.iterations, "lanes": lanes, "threads": lanes,
            "allocate_cbk": allocate, "free_cbk": free,
        }  # fmt: skip
        self._here.block = self._take(cost.memory_kib * 1024)
        try:
            code = core(ffi.new("argon2_context *", context), Type.ID.value)
        finally:
            self._free.append(self._here.block)
            del self._here.block
        if code:
            raise RuntimeError(f"argon2: {error_to_str(code)}")
        return bytes(ffi.buffer(out))

    def _take(self, size: int) -> mmap.mmap:
        while (block := self._pop()) is not None:
            if len(block) >= size:
                return block  # one that is too small goes: parameters have risen
        return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def _pop(self) -> mmap.mmap | None:
        try:
            return self._free.pop()  # asking first whether there is one would race with another thread
        except IndexError:
            return None

    def _make_hooks(self, ffi: Any) -> tuple[Any, Any]:
        """As C functions; where the system allows none to be made, argon2 allocates for itself."""

        def allocate(where: Any, size: int) -> int:
            block = self._here.block  # argon2 allocates in the thread that called it, once
            if size > len(block):
                return _NO_MEMORY
            where[0] = ffi.from_buffer("uint8_t[]", block)
            return 0

        try:
            return (
                ffi.callback("int(uint8_t **, size_t)", allocate, error=_NO_MEMORY),
                ffi.callback("void(uint8_t *, size_t)", lambda _where, _size: None),
            )
        except (MemoryError, SystemError):
            return ffi.NULL, ffi.NULL


def _to_base64(value: bytes) -> str:
    return base64.b64encode(value).rstrip(b"=").decode()


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise DamagedHashError("a stored hash is cut") from None
