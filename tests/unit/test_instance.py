"""One life of one process on a data_dir."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from penstock.instance import Instance, InstanceError, is_alive


def test_an_instance_holds_its_lock_and_leaves_nothing_behind(tmp_path: Path) -> None:
    data = tmp_path / "data"
    instance = Instance(str(data))
    assert data.stat().st_mode & 0o777 == 0o700
    assert (data / "journal" / instance.id).stat().st_mode & 0o777 == 0o700
    with (data / "journal" / instance.id / "lock").open() as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    instance.close()
    instance.close()
    assert os.listdir(data / "journal") == []


def test_several_live_on_one_data_dir(tmp_path: Path) -> None:
    first, second = Instance(str(tmp_path)), Instance(str(tmp_path))
    assert sorted(os.listdir(tmp_path / "journal")) == sorted([first.id, second.id])
    first.close()
    second.close()


def test_others_see_whether_one_lives_and_disturb_nobody(tmp_path: Path) -> None:
    assert not is_alive(str(tmp_path))
    first, second = Instance(str(tmp_path)), Instance(str(tmp_path))
    first.close()
    assert is_alive(str(tmp_path))
    assert sorted(os.listdir(tmp_path / "journal")) == [second.id]
    second.close()
    assert not is_alive(str(tmp_path))


def test_what_a_dead_instance_left_is_not_alive(tmp_path: Path) -> None:
    (tmp_path / "journal" / "dead").mkdir(parents=True)
    (tmp_path / "journal" / "dead" / "lock").touch()
    (tmp_path / "journal" / "empty").mkdir()
    (tmp_path / "journal" / "file").touch()
    assert not is_alive(str(tmp_path))
    with (tmp_path / "journal" / "dead" / "lock").open() as reader:
        fcntl.flock(reader, fcntl.LOCK_SH | fcntl.LOCK_NB)
        assert not is_alive(str(tmp_path)), "who looks is not alive either"


@pytest.mark.parametrize("call", ["listdir", "open"])
def test_an_instance_of_another_user_may_be_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    (tmp_path / "journal" / "other").mkdir(parents=True)
    (tmp_path / "journal" / "other" / "lock").touch()

    def refuse(*_: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        alive = is_alive(str(tmp_path))
    assert alive


def test_what_root_keeps_beside_journals_on_their_own_volume_is_no_instance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "journal" / "lost+found").mkdir(parents=True)
    listdir = os.listdir

    def look(path: str) -> list[str]:
        if path.endswith("lost+found"):
            raise PermissionError
        return listdir(path)

    def refuse(*_: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        alive = is_alive(str(tmp_path))
    assert not alive
    monkeypatch.setattr(os, "listdir", look)
    Instance(str(tmp_path)).close()
    assert listdir(tmp_path / "journal") == ["lost+found"]


def test_what_a_dead_instance_left_stays_if_it_holds_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("empty", "full"):
        (tmp_path / "journal" / name).mkdir(parents=True)
        (tmp_path / "journal" / name / "lock").touch()
    (tmp_path / "journal" / "full" / "segment").touch()
    files: list[int] = []

    def lock(fd: int, how: int) -> None:
        files.append(os.fstat(fd).st_ino)
        flock(fd, how)

    flock = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", lock)
    instance = Instance(str(tmp_path))
    assert len(files) == 2
    assert (tmp_path / "journal" / "full" / "lock").stat().st_ino not in files, "it would be taken for alive"
    assert sorted(os.listdir(tmp_path / "journal")) == sorted(["full", instance.id])
    instance.close()


def test_what_a_broken_start_left_aside_goes_once_it_is_old(tmp_path: Path) -> None:
    instance = Instance(str(tmp_path))
    instance.close()
    names = [".20200101T000000-00000000", ".20200101T000000-00000001", ".20200101T000000-00000002", ".mine"]
    for name in names:
        (tmp_path / "journal" / name).mkdir()
    (tmp_path / "journal" / names[1] / "lock").touch()
    for name in (names[0], names[1], names[3]):
        os.utime(tmp_path / "journal" / name, (0, 0))
    instance = Instance(str(tmp_path))
    assert sorted(os.listdir(tmp_path / "journal")) == sorted([names[2], names[3], instance.id])
    instance.close()


def test_a_data_dir_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InstanceError, match=r"Not a directory: .*; a file stands where a directory should be"):
        Instance(str(tmp_path / "file" / "data"))
