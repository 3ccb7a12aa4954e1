"""The key under which native digests verified secrets: made at first start, kept in a file only its owner can read."""

from __future__ import annotations

import hashlib
import os
from typing import NamedTuple

from penstock import private_file
from penstock.private_file import PrivateFileError

NAME = "digest.key"
BYTES = 32


class DigestKey(NamedTuple):
    """Where the key is, and which one it is."""

    path: str
    fingerprint: str
    """SHA-256 in hex: digests under another key are worth nothing."""
    warnings: tuple[str, ...]


def load_digest_key(data_dir: str) -> DigestKey:
    """Finds the key, or makes one when there is none. Raises `PrivateFileError`."""
    path = os.path.join(os.path.abspath(data_dir), NAME)
    key, warnings = private_file.load(path, lambda: os.urandom(BYTES), BYTES)
    if len(key) != BYTES:
        raise PrivateFileError(f"{path} does not hold {BYTES} bytes; remove it, and the next start makes a new one")
    return DigestKey(path, hashlib.sha256(key).hexdigest(), tuple(warnings))
