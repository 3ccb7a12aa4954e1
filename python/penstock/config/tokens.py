"""The admin tokens of the configuration: the one place that resolves them, and only to their SHA-256."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping as Environ
from collections.abc import Sequence
from typing import NamedTuple

from penstock.config.model import Secret, Token
from penstock.config.problem import Notes, Path
from penstock.config.references import resolve
from penstock.keys.model import Role

SHORTEST = 20
LONGEST = 512
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")


class Known(NamedTuple):
    """A token by its SHA-256 in hex."""

    name: str
    role: Role
    digest: str


def known_tokens(tokens: Sequence[Token], environ: Environ[str, str]) -> tuple[Known, ...]:
    """The tokens of a checked configuration. Raises ValueError, naming no value, when a reference is gone meanwhile."""
    return tuple(Known(each.name, each.role, _digest(each.token, environ)) for each in tokens if each.token is not None)


def check(tokens: Sequence[Token], environ: Environ[str, str], found: Notes) -> None:
    """Notes what is wrong with the tokens' fields."""
    names: set[str] = set()
    digests: set[str] = set()
    for index, each in enumerate(tokens):
        path: Path = ("admin", "tokens", index)
        if not _NAME.match(each.name):
            message = "a token's name is made of letters, digits, `-`, `_` and `.`" if each.name else "is missing"
            found.add((*path, "name"), message, "who uses this token?" if not each.name else "")
        elif each.name in names:
            found.add((*path, "name"), "stands twice", "a name tells in the log of changes who it was")
        names.add(each.name)
        if each.token is None:
            found.add((*path, "token"), "is missing", 'such as "${env:OPS_TOKEN}"')
            continue
        try:
            digest = _digest(each.token, environ)
        except ValueError as error:
            found.add((*path, "token"), str(error), "such as the output of: openssl rand -hex 32")
            continue
        if digest in digests:
            found.add((*path, "token"), "is the token of another name too", "give each its own")
        digests.add(digest)


def _digest(token: Secret, environ: Environ[str, str]) -> str:
    text = "".join(resolve(part, environ) for part in token.parts)
    if not SHORTEST <= len(text) <= LONGEST or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"expected {SHORTEST} to {LONGEST} printable ASCII characters without blanks")
    return hashlib.sha256(text.encode()).hexdigest()
