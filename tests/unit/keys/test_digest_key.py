"""The file of the key under which verified secrets are digested."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from penstock.keys.digest_key import load_digest_key
from penstock.private_file import PrivateFileError


def test_the_first_start_makes_32_bytes_that_only_the_owner_can_read(tmp_path: Path) -> None:
    key = load_digest_key(str(tmp_path))
    path = tmp_path / "digest.key"
    assert key.path == str(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_bytes()) == 32
    assert key.fingerprint == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not key.warnings
    assert os.listdir(tmp_path) == ["digest.key"]
    assert load_digest_key(str(tmp_path)) == key


def test_two_keys_differ(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert load_digest_key(str(tmp_path)).fingerprint != load_digest_key(str(tmp_path / "other")).fingerprint


def test_lax_permissions_are_mended_and_warned_of(tmp_path: Path) -> None:
    load_digest_key(str(tmp_path))
    (tmp_path / "digest.key").chmod(0o644)
    assert "mode 0644" in load_digest_key(str(tmp_path)).warnings[0]
    assert (tmp_path / "digest.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_a_file_that_is_no_key_is_refused_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "digest.key").write_bytes(content)
    with pytest.raises(PrivateFileError, match=r"does not hold 32 bytes; remove it"):
        load_digest_key(str(tmp_path))


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "digest.key").symlink_to("/etc/hostname")
    with pytest.raises(PrivateFileError, match=r"digest\.key"):
        load_digest_key(str(tmp_path))
