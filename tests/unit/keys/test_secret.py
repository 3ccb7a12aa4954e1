"""The text of keys: format, checksum, ids of foreign secrets."""

from __future__ import annotations

import hashlib
import re
import zlib

import pytest

from penstock.keys.secret import (
    ALPHABET,
    checksum,
    foreign_id,
    id_of,
    new_id,
    new_key_text,
    new_token_text,
    own_id,
    why_not_foreign,
)


def test_a_new_key_has_the_format_that_scanners_look_for() -> None:
    made = new_key_text()
    assert re.fullmatch(r"sk-pen-[0-9A-Za-z]{12}-[0-9A-Za-z]{49}", made.text)
    assert made.text[7:19] == made.id == own_id(made.text) == id_of(made.text)
    assert new_key_text(made.id).text[:20] == made.text[:20]
    assert new_key_text(made.id).text != made.text
    assert made.text not in repr(made)


def test_the_checksum_is_the_crc_of_everything_before_it() -> None:
    head = new_key_text().text[:-6]
    value = sum(ALPHABET.index(digit) * 62 ** (5 - place) for place, digit in enumerate(checksum(head)))
    assert value == zlib.crc32(head.encode())
    assert checksum("sk-pen-000000000000-" + "0" * 43) == "4Lg15i"


def test_every_single_changed_character_is_noticed() -> None:
    text = new_key_text().text
    for place in range(len(text)):
        other = "y" if text[place] != "y" else "z"
        assert own_id(text[:place] + other + text[place + 1 :]) is None
    assert own_id(text[:-1]) is None
    assert own_id(text + "0") is None
    assert own_id("") is None


def test_ids_are_random_and_tokens_name_themselves() -> None:
    assert len({new_id() for _ in range(100)}) == 100
    assert re.fullmatch(r"pen-admin-[A-Za-z0-9_-]{43}", new_token_text())


def test_a_foreign_id_is_the_beginning_of_the_sha256_in_base62() -> None:
    digest = hashlib.sha256(b"sk-1234567890abcdefghij").digest()
    number = int.from_bytes(digest, "big")
    slow = ""
    for power in range(42, 30, -1):
        slow += ALPHABET[number // 62**power % 62]
    assert foreign_id(digest) == slow == id_of("sk-1234567890abcdefghij")
    assert foreign_id(bytes(32)) == "0" * 12


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x" * 19, "has 19 characters"),
        ("x" * 513, "has 513 characters"),
        ("with a blank in the middle", "blank"),
        ("sk-ünïcödé-0123456789", "outside ASCII"),
        ("tab\tin-0123456789abcdef", "control"),
        ("sk-pen-000000000000-short", "checksum is wrong"),
    ],
)
def test_secrets_that_cannot_be_taken_over_are_refused_without_being_shown(text: str, reason: str) -> None:
    why = why_not_foreign(text)
    assert why is not None
    assert reason in why
    assert text not in why


def test_other_secrets_are_taken_even_our_own_of_another_installation() -> None:
    assert why_not_foreign("x" * 20) is None
    assert why_not_foreign("x" * 512) is None
    assert why_not_foreign(new_key_text().text) is None
