"""The committed tables hold the published vocabularies, and what counting takes for granted of them."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import pytest

from tests.support.tiktoken_oracle import TABLES, as_published, ranks

ROOT = Path(__file__).parents[2]
# `tiktoken_ext/openai_public.py` of tiktoken 0.14 expects these of its downloads.
PUBLISHED = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}
pytestmark = pytest.mark.parametrize("name", PUBLISHED)


def test_a_table_is_the_published_vocabulary(name: str) -> None:
    assert hashlib.sha256(as_published(ranks(name))).hexdigest() == PUBLISHED[name]


def test_the_page_beside_the_tables_says_what_they_are(name: str) -> None:
    size = (TABLES / f"{name}.table").stat().st_size
    row = f"| `{name}.table` | {len(ranks(name)):,} | {size:,} | `assets/{name}.tiktoken` | `{PUBLISHED[name]}` |"
    assert row in (TABLES / "README.md").read_text()
    assert size <= 6_000_000


def test_every_token_is_made_of_two_of_lower_rank(name: str) -> None:
    """So ranks only rise while a piece is encoded, and all pairs of one rank may be joined in one walk."""
    known = ranks(name)
    assert all(known[bytes([byte])] < 256 for byte in range(256))
    for token, rank in known.items():
        parts = [token[at : at + 1] for at in range(len(token))]
        while len(parts) > 2:
            pairs = [known.get(a + b, rank) for a, b in itertools.pairwise(parts)]
            at = pairs.index(min(pairs))
            assert pairs[at] < rank, token
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        assert len(token) == 1 or max(map(known.__getitem__, parts)) < rank, token
