"""The admin token's file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.admin.token import TokenError, load_token, matches


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
    with pytest.raises(TokenError, match=r"admin.token"):
        load_token(str(tmp_path))


@pytest.mark.parametrize(
    ("header", "right"),
    [
        ("Bearer abc", True),
        ("bearer abc", True),
        ("Bearer  abc ", True),
        ("Basic abc", False),
        ("abc", False),
        ("", False),
        (None, False),
        ("Bearer ábc", False),
    ],
)
def test_a_header_matches_only_with_scheme_and_token(header: str | None, right: bool) -> None:
    assert matches("abc", header) is right
