"""The file with a store's password: one rule for the check of the configuration and for connecting."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.password_file import MAX_BYTES, read_password
from penstock.store.interface import StoreRefusedError
from penstock.store.open import make_store


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_the_last_line_break_is_no_part_of_it(tmp_path: Path, ending: str) -> None:
    (tmp_path / "password").write_text(f" pässword {ending}", newline="")
    assert read_password(str(tmp_path / "password")) == " pässword "


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no password"),
        (b"\n", "holds no password"),
        (b"hunter22\nhunter22\n", "holds no password"),
        (b"hunter22" * MAX_BYTES, "is larger than 4096 bytes"),
        (b"hunter22\xff", "is not UTF-8 text"),
        (None, "cannot be read: No such file"),
    ],
)
async def test_a_file_that_the_check_refuses_is_refused_by_the_store_in_the_same_words(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as checked:
        read_password(str(path))
    store = make_store("postgresql://u@127.0.0.1:1/d", "", password_file=str(path))
    with pytest.raises(StoreRefusedError) as refused:
        await store.open(migrate=False)
    assert str(refused.value) == f"store.password_file {path} {checked.value}"
    assert "hunter22" not in str(refused.value)
