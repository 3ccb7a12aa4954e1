"""Files that only their owner may read."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from penstock.private_file import PrivateFileError, load, tighten

MOST = 64


def made() -> bytes:
    return b"made here"


def test_it_is_made_once_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert load(str(path), made, MOST) == (b"made here", [])
    assert path.stat().st_mode & 0o777 == 0o600
    assert load(str(path), lambda: b"another", MOST) == (b"made here", [])
    assert os.listdir(tmp_path) == ["file"]


def test_of_several_that_start_at_once_one_wins(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda n: load(path, lambda: b"%d" % n, MOST)[0], range(32)))
    assert len(found) == 1
    assert os.listdir(tmp_path) == ["file"]


def test_a_leftover_of_another_start_is_neither_followed_nor_in_the_way(tmp_path: Path) -> None:
    (tmp_path / f"file.{os.getpid()}").write_text("left")
    assert load(str(tmp_path / "file"), made, MOST)[0] == b"made here"
    assert (tmp_path / f"file.{os.getpid()}").read_text() == "left"


def test_what_is_too_long_is_read_one_byte_too_far(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 1000)
    assert len(load(str(tmp_path / "file"), made, MOST)[0]) == MOST + 1


def test_a_file_that_others_could_read_is_taken_from_them_and_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o640)
    assert "mode 0640" in load(str(path), made, MOST)[1][0]
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open() as file:
        assert tighten(file.fileno(), str(path)) == []


def test_neither_a_link_nor_a_pipe_nor_a_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir()
    for name in ("link", "pipe", "folder"):
        with pytest.raises(PrivateFileError, match=name):
            load(str(tmp_path / name), made, MOST)


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        ("fsync", errno.EIO, "could not be brought to disk .*; look at the disk"),
        ("link", errno.EPERM, "no hard link can be made there .*; put data_dir on a local file system"),
        ("open", errno.EACCES, "Permission denied; let this user own and write data_dir"),
        ("open", errno.ENOSPC, "No space left on device; make room"),
    ],
)
def test_what_fails_is_told_with_what_to_do_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, message: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(f"penstock.private_file.os.{call}", fail)
        with pytest.raises(PrivateFileError, match=message):
            load(str(tmp_path / "file"), made, MOST)
    assert os.listdir(tmp_path) == []
