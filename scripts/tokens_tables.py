#!/usr/bin/env python3
"""Writes the tables of `penstock.tokens` from the vocabularies that the crate tiktoken-rs carries.

Usage: scripts/tokens_tables.py tiktoken-rs-0.12.1.crate   (from `cargo fetch`, under ~/.cargo/registry/cache)

What it reads is checked against the hashes below; the two of the vocabularies are those that tiktoken itself expects
(`tiktoken_ext/openai_public.py`). A table, little-endian, is a header of 64 bytes, pairs, slots, and the tokens of more
than 12 bytes one behind the other:

    0  magic "penstok1" | 8 name, 16 bytes | 24 tokens u32 | 28 slots u32 | 32 bytes behind the slots u32
    36 longest token u32 | 40 CRC-32 (IEEE) of everything but these four bytes | 44 zeros

A pair is the rank of two bytes together as u32, all ones if they are no token, in the order of the bytes. They are in
the slots too. A slot is two words of 64 bits. The first is the token's first 8 bytes (zeros behind its end), or the
hash of a long one. The second holds in bits 0-31 the next 4 bytes, or where a long one begins behind the slots; in
32-39 the length, 0 in an empty slot; in 40-57 the rank. A token is in the first free slot from (upper half of its
hash) * slots >> 32 on; those of lower ranks, which are the common ones, were put in first. What reads it is
`native/core/src/tokens/table.rs`.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import struct
import tarfile
import zlib
from pathlib import Path

CRATE_SHA256 = "2aeff724640cfe13037336ddf35befdffd2909cbdb65cf041cc8a4cf8c584cfa"
VOCABULARIES = {
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
}
MAGIC = b"penstok1"
INLINE = 12
RANK_BITS = 18
MASK = (1 << 64) - 1
K0, K1 = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03
TARGET = Path(__file__).resolve().parent.parent / "python" / "penstock" / "tokens"


def _mixed(a: int, b: int) -> int:
    """Both halves of a product of 128 bits, folded."""
    product = a * b
    return (product & MASK) ^ (product >> 64)


def _word(text: bytes) -> int:
    return int.from_bytes(text, "little")


def hashed(token: bytes) -> int:
    """The hash that native computes, 64 bits."""
    if len(token) <= INLINE:
        return _mixed(_word(token[:8]) ^ K0, (_word(token[8:]) | len(token) << 32) ^ K1)
    state = K0 ^ len(token)
    for at in range(0, len(token), 16):
        piece = token[at : at + 16]
        state = _mixed(_word(piece[:8]) ^ state, _word(piece[8:]) ^ K1)
    return state


def parsed(vocabulary: bytes) -> list[bytes]:
    """The tokens of a .tiktoken file in the order of their ranks."""
    tokens = []
    for rank, line in enumerate(vocabulary.splitlines()):
        token, number = line.split()
        if int(number) != rank:
            raise SystemExit(f"line {rank + 1}: rank {number.decode()}, expected {rank}")
        tokens.append(base64.b64decode(token))
    return tokens


def table(name: str, tokens: list[bytes]) -> bytes:
    """The whole file."""
    count = len(tokens) * 3 // 2
    slots, text = [(0, 0)] * count, bytearray()
    for rank, token in enumerate(tokens):
        digest, size = hashed(token), len(token)
        at = (digest >> 32) * count >> 32
        while slots[at][1]:
            at = (at + 1) % count
        first, second = (_word(token[:8]), _word(token[8:])) if size <= INLINE else (digest, len(text))
        slots[at] = first, second | size << 32 | rank << 40
        if size > INLINE:
            text += token
    longest = max(map(len, tokens))
    if len(tokens) > 1 << RANK_BITS or longest > 255:
        raise SystemExit(f"{name} does not fit into slots of this shape")
    ranks = {token: rank for rank, token in enumerate(tokens) if len(token) == 2}
    pairs = [ranks.get(bytes(divmod(pair, 256)), 0xFFFFFFFF) for pair in range(1 << 16)]
    head = struct.pack("<8s16sIIII", MAGIC, name.encode(), len(tokens), count, len(text), longest)
    rest = bytes(20) + struct.pack(f"<{len(pairs)}I", *pairs)
    rest += b"".join(struct.pack("<QQ", *slot) for slot in slots) + text
    return head + struct.pack("<I", zlib.crc32(rest, zlib.crc32(head))) + rest


def _checked(what: str, data: bytes, sha256: str) -> bytes:
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise SystemExit(f"{what}: SHA-256 is {found}, expected {sha256}")
    return data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("crate", type=Path, help="the .crate file of tiktoken-rs")
    crate = parser.parse_args().crate
    _checked(crate.name, crate.read_bytes(), CRATE_SHA256)
    with tarfile.open(crate) as files:
        for name, sha256 in VOCABULARIES.items():
            member = files.extractfile(f"{crate.stem}/assets/{name}.tiktoken")
            if member is None:
                raise SystemExit(f"{crate.name} has no {name}")
            made = table(name, parsed(_checked(name, member.read(), sha256)))
            (TARGET / f"{name}.table").write_bytes(made)
            print(f"{name}: {len(made):,} bytes")


if __name__ == "__main__":
    main()
