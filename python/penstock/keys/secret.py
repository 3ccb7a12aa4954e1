"""The text of keys and admin tokens: how one is made, what it looks like, and the id by which it is looked up."""

from __future__ import annotations

import base64
import hashlib
import secrets
import zlib
from collections.abc import Callable
from typing import NamedTuple

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""Digits of base62, the lowest first."""

PREFIX = "sk-pen-"
ID_CHARACTERS, SECRET_CHARACTERS, CHECKSUM_CHARACTERS = 12, 43, 6
OWN_CHARACTERS = len(PREFIX) + ID_CHARACTERS + 1 + SECRET_CHARACTERS + CHECKSUM_CHARACTERS
SHORTEST, LONGEST = 20, 512
"""Characters of a foreign secret: fewer could be guessed, more fit no header that others would send."""

TOKEN_PREFIX = "pen-admin-"  # noqa: S105 (what tokens begin with is no secret)
_BASE62 = frozenset(ALPHABET)

Choose = Callable[[str], str]
"""Takes one of the characters by chance."""


class NewText(NamedTuple):
    """A fresh key: its public id, and the whole text that is shown once."""

    id: str
    text: str

    def __repr__(self) -> str:
        return f"NewText(id={self.id!r})"


def new_id(choose: Choose = secrets.choice) -> str:
    """A random id, for keys, teams and tokens: 71 bits, so that none is met twice."""
    return _random(ID_CHARACTERS, choose)


def new_key_text(id: str | None = None, choose: Choose = secrets.choice) -> NewText:
    """A fresh key; with `id` a further secret of the key that has it."""
    id = new_id(choose) if id is None else id
    head = f"{PREFIX}{id}-{_random(SECRET_CHARACTERS, choose)}"
    return NewText(id, head + checksum(head))


def new_token_text() -> str:
    """A fresh admin token of 256 random bits."""
    return TOKEN_PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()


def checksum(head: str) -> str:
    """The last six characters of a key whose others are `head`: CRC-32 as zlib's, in base62."""
    return _in_base62(zlib.crc32(head.encode("ascii")), CHECKSUM_CHARACTERS)


def own_id(text: str) -> str | None:
    """The id in a key of our own format; None when it is none, or is cut or mistyped."""
    if len(text) != OWN_CHARACTERS or not text.startswith(PREFIX):
        return None
    id, dash, rest = (
        text[len(PREFIX) : len(PREFIX) + ID_CHARACTERS],
        text[len(PREFIX) + ID_CHARACTERS],
        text[len(PREFIX) + ID_CHARACTERS + 1 :],
    )
    if dash != "-" or not _BASE62.issuperset(id + rest):
        return None
    return id if checksum(text[:-CHECKSUM_CHARACTERS]) == text[-CHECKSUM_CHARACTERS:] else None


def foreign_id(sha256: bytes) -> str:
    """The id of a foreign secret with this SHA-256: the first of its 43 base62 digits."""
    return _in_base62(int.from_bytes(sha256, "big"), 43)[:ID_CHARACTERS]


def id_of(text: str) -> str:
    """The id under which native looks a secret up; for one that `why_not_foreign` has nothing against."""
    return own_id(text) or foreign_id(hashlib.sha256(text.encode("ascii")).digest())


def why_not_foreign(text: str) -> str | None:
    """Why a secret made elsewhere cannot be taken over, and what to do; None when it can. Never shows it."""
    if not SHORTEST <= len(text) <= LONGEST:
        return f"has {len(text)} characters; a secret has {SHORTEST} to {LONGEST}: make a new key instead"
    if not all("!" <= character <= "~" for character in text):
        return "holds a blank, a control character or one outside ASCII, which a header cannot carry as it is"
    if text.startswith(PREFIX) and own_id(text) is None:
        return f"begins like a Penstock key ({PREFIX}…) but is cut or mistyped: its checksum is wrong"
    return None


def _random(characters: int, choose: Choose) -> str:
    return "".join(choose(ALPHABET) for _ in range(characters))


def _in_base62(number: int, digits: int) -> str:
    found = ""
    for _ in range(digits):
        number, digit = divmod(number, 62)
        found = ALPHABET[digit] + found
    return found
