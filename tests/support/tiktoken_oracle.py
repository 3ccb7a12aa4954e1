"""tiktoken's own encodings, with the ranks of our tables in place of what it would download."""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import tiktoken

TABLES = Path(__file__).parents[2] / "python" / "penstock" / "tokens"


@functools.cache
def ranks(name: str) -> dict[bytes, int]:
    """Token → rank, read from a table without any hash: slot by slot."""
    data = (TABLES / f"{name}.table").read_bytes()
    _, _, tokens, slots, _, longest = struct.unpack_from("<8s16sIIII", data)
    found, first = {}, 64 + 4 * 65536
    long = first + 16 * slots
    for at in range(first, long, 16):
        (word,) = struct.unpack_from("<Q", data, at + 8)
        length = word >> 32 & 0xFF
        begin = at if length <= 12 else long + (word & 0xFFFFFFFF)
        if length:
            found[data[begin : begin + length]] = word >> 40
    assert len(found) == tokens
    assert max(map(len, found)) == longest
    return dict(sorted(found.items(), key=lambda item: item[1]))


def as_published(vocabulary: dict[bytes, int]) -> bytes:
    """The .tiktoken file that holds a vocabulary."""
    return b"".join(b"%b %d\n" % (base64.b64encode(token), rank) for token, rank in vocabulary.items())


@functools.cache
def encoding(name: str) -> tiktoken.Encoding:
    """What `tiktoken.get_encoding` makes, from the same pattern. Skips the test where tiktoken is not installed."""
    pytest.importorskip("tiktoken", reason="tiktoken is not installed")
    from tiktoken import Encoding

    public = importlib.import_module("tiktoken_ext.openai_public")

    def load(url: str, expected_hash: str) -> dict[bytes, int]:
        assert name in url
        vocabulary = ranks(name)
        assert hashlib.sha256(as_published(vocabulary)).hexdigest() == expected_hash
        return vocabulary

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(public, "load_tiktoken_bpe", load)
        parts: dict[str, Any] = public.ENCODING_CONSTRUCTORS[name]()
    return Encoding(**parts)
