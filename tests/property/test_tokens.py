"""The native counter counts what a slow, readable one does: rules of splitting as sentences, merges one by one.

Beside the comparisons with tiktoken (tests/native/test_tokens.py) this page is what says how counting works.
"""

from __future__ import annotations

import itertools
import os
import unicodedata
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.texts import NASTY
from tests.support.tiktoken_oracle import TABLES, ranks

if TYPE_CHECKING:
    from penstock import _native as native
else:
    native = pytest.importorskip("penstock._native", reason="the native library is not built")

pytestmark = pytest.mark.native
# `ROUNDS` is 20, or 200 for the whole measure (tests/conftest.py); texts are cheaper than what it counts elsewhere.
ROUNDS = 50 * int(os.environ.get("ROUNDS", "20"))
random = settings(max_examples=ROUNDS, deadline=None, suppress_health_check=[HealthCheck.too_slow])
CONTRACTIONS = ("s", "t", "d", "m", "re", "ve", "ll")


def is_letter(one: str) -> bool:
    return unicodedata.category(one)[0] == "L"


def is_number(one: str) -> bool:
    return unicodedata.category(one)[0] == "N"


def is_space(one: str) -> bool:
    """White space of Unicode; `str.isspace` takes four separators of ASCII for it too."""
    return one.isspace() and one not in "\x1c\x1d\x1e\x1f"


def is_sign(one: str) -> bool:
    """Punctuation, symbols, marks, controls."""
    return not (is_letter(one) or is_number(one) or is_space(one))


def may_be_upper(one: str) -> bool:
    """What may stand where a word begins."""
    return unicodedata.category(one) in ("Lu", "Lt", "Lm", "Lo", "Mn", "Mc", "Me")


def may_be_lower(one: str) -> bool:
    """What may stand in the rest of a word."""
    return unicodedata.category(one) in ("Ll", "Lm", "Lo", "Mn", "Mc", "Me")


def contraction(text: str) -> int:
    """How long the contraction is that a text begins with: ``'s`` in ``'s fine``."""
    for letters in CONTRACTIONS:
        found = text[1 : 1 + len(letters)]
        # U+017F folds to s.
        if text.startswith("'") and found.replace("ſ", "s").lower() == letters:
            return 1 + len(letters)
    return 0


def run(text: str, at: int, is_one: object) -> int:
    """Where characters of a kind end."""
    assert callable(is_one)
    while at < len(text) and is_one(text[at]):
        at += 1
    return at


def numbers(text: str) -> int:
    """One to three numbers."""
    return min(3, run(text, 0, is_number))


def signs(text: str, behind: str) -> int:
    """Signs, with a blank before them, and some of these characters behind them."""
    begin = 1 if text.startswith(" ") else 0
    end = run(text, begin, is_sign)
    return run(text, end, lambda one: one in behind) if end > begin else 0


def breaks(text: str) -> int:
    """White space up to its last line break."""
    blanks = text[: run(text, 0, is_space)]
    return max(blanks.rfind("\r"), blanks.rfind("\n")) + 1


def blanks(text: str) -> int:
    """White space; where something follows, its last character belongs to that, unless it is the only one."""
    end = run(text, 0, is_space)
    return end if end == len(text) or end < 2 else end - 1


def cl100k_piece(text: str) -> int:
    """How long the piece is that a text begins with."""
    if found := contraction(text):
        return found
    begins = 0 if is_letter(text[0]) or is_number(text[0]) or text[0] in "\r\n" else 1
    if (end := run(text, begins, is_letter)) > begins:
        return end
    if all(map(is_space, text)):
        return len(text)
    return numbers(text) or signs(text, "\r\n") or breaks(text) or blanks(text)


def o200k_word(text: str) -> int:
    """A word: at most one character of another kind, capitals, the rest, a contraction."""
    prefixed = not (is_letter(text[0]) or is_number(text[0]) or text[0] in "\r\n")
    begins = (1, 0) if prefixed else (0,)
    for begin in begins:
        # As many capitals as leave something for the rest.
        for middle in range(run(text, begin, may_be_upper), begin - 1, -1):
            if (end := run(text, middle, may_be_lower)) > middle:
                return end + contraction(text[end:])
    for begin in begins:
        if (middle := run(text, begin, may_be_upper)) > begin:
            return middle + contraction(text[middle:])
    return 0


def o200k_piece(text: str) -> int:
    """How long the piece is that a text begins with."""
    return o200k_word(text) or numbers(text) or signs(text, "\r\n/") or breaks(text) or blanks(text)


def merged(piece: bytes, known: dict[bytes, int]) -> list[bytes]:
    """A piece as tokens: joins the two neighbours whose union has the lowest rank, the leftmost of several."""
    parts = [bytes([byte]) for byte in piece]
    while True:
        unions = [known.get(a + b, len(known)) for a, b in itertools.pairwise(parts)]
        if not unions or min(unions) == len(known):
            return parts
        at = unions.index(min(unions))
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


def count(name: str, text: str) -> int:
    """Tokens of a text, slowly."""
    piece, known, found = (o200k_piece if name == "o200k_base" else cl100k_piece), ranks(name), 0
    while text:
        length = piece(text)
        assert length > 0
        found += len(merged(text[:length].encode(), known))
        text = text[length:]
    return found


@pytest.fixture(scope="module", params=["o200k_base", "cl100k_base"])
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def encoding(name: str) -> native.Encoding:
    return native.Encoding(str(TABLES), name)


# Characters that this Python's version of Unicode knows: others may have become letters since.
CHARACTERS = st.characters(exclude_categories=["Cs", "Cn"])


@random
@given(text=st.text(st.sampled_from(NASTY), max_size=30) | st.text(CHARACTERS, max_size=30))
@example(text="I'LL  say:\n\n don'ſ\t12345, ABc\u0301D //\r\n/ ")
def test_any_text_counts_as_the_slow_way_counts_it(name: str, encoding: native.Encoding, text: str) -> None:
    assert encoding.count(text.encode()) == count(name, text)


@random
@given(one=st.text(st.sampled_from("abez \n\r!/é\u0301你🙂"), min_size=1, max_size=4), times=st.integers(10, 60))
def test_repetitions_count_as_the_slow_way_counts_them(
    name: str, encoding: native.Encoding, one: str, times: int
) -> None:
    assert encoding.count((one * times).encode()) == count(name, one * times)
