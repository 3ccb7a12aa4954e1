"""The admin token's file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.admin.token import TokenError, load_token, presented, read_token
from penstock.private_file import PrivateFileError


def test_the_first_start_makes_a_token_that_only_the_owner_can_read(tmp_path: Path) -> None:
    token, warnings = load_token(str(tmp_path))
    assert (tmp_path / "admin.token").stat().st_mode & 0o777 == 0o600
    assert len(token) > 40
    assert not warnings
    assert os.listdir(tmp_path) == ["admin.token"]


def test_later_starts_find_the_same_token(tmp_path: Path) -> None:
    assert load_token(str(tmp_path)) == load_token(str(tmp_path))


def test_lax_permissions_are_mended_and_warned_of(tmp_path: Path) -> None:
    token, _ = load_token(str(tmp_path))
    (tmp_path / "admin.token").chmod(0o644)
    again, warnings = load_token(str(tmp_path))
    assert again == token
    assert "mode 0644" in warnings[0]
    assert (tmp_path / "admin.token").stat().st_mode & 0o777 == 0o600
    assert token not in " ".join(warnings)


def test_a_link_or_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "admin.token").write_text("")
    with pytest.raises(TokenError, match="holds no token"):
        load_token(str(tmp_path))
    (tmp_path / "admin.token").unlink()
    (tmp_path / "admin.token").symlink_to("/etc/hostname")
    with pytest.raises(PrivateFileError, match=r"admin.token"):
        load_token(str(tmp_path))


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("Bearer  abc ", "abc"),
        ("Basic abc", None),
        ("abc", None),
        ("Bearer ", None),
        ("", None),
        (None, None),
    ],
)
def test_a_header_carries_a_token_only_with_its_scheme(header: str | None, token: str | None) -> None:
    assert presented(header) == token


def test_whoever_calls_reads_a_token_from_a_file_and_makes_none(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" abc\n")
    assert read_token(str(tmp_path / "token")) == "abc"
    with pytest.raises(TokenError, match="none cannot be read: No such file"):
        read_token(str(tmp_path / "none"))
    (tmp_path / "token").write_text("\n")
    with pytest.raises(TokenError, match="holds no token"):
        read_token(str(tmp_path / "token"))
    assert os.listdir(tmp_path) == ["token"]
