"""What a process is called among those that share limits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from penstock.limits import node
from penstock.limits.node import Member
from penstock.private_file import PrivateFileError
from tests.support.child import Child


def test_a_node_is_the_same_after_a_restart(tmp_path: Path) -> None:
    first = Member(str(tmp_path))
    first.close()
    first.close()
    second = Member(str(tmp_path))
    assert second.id == first.id
    assert re.fullmatch("[0-9a-f]{16}", first.id)
    assert (tmp_path / "node").stat().st_mode & 0o777 == 0o600
    second.close()


def test_each_process_on_a_data_dir_counts_for_itself(tmp_path: Path) -> None:
    first = Member(str(tmp_path))
    member = "tests.unit.limits.member"
    with Child(member, str(tmp_path)) as one, Child(member, str(tmp_path)) as two:
        assert {one.line(), two.line()} == {f"{first.id}.1", f"{first.id}.2"}
        one.kill()
        two.kill()
    with Child(member, str(tmp_path)) as again:
        assert again.line() == f"{first.id}.1"
        again.kill()
    first.close()


def test_a_file_that_holds_no_id_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "node").write_text("mine\n")
    with pytest.raises(PrivateFileError, match="holds no id of a node; remove it"):
        Member(str(tmp_path))
    assert (tmp_path / "node").read_text() == "mine\n"


def test_a_data_dir_that_too_many_have_is_left_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "PLACES", 1)
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    with Child("tests.unit.limits.member", str(tmp_path)) as one:
        assert one.line()
        with pytest.raises(PrivateFileError, match="1 processes have it already; give this one another data_dir"):
            Member(str(tmp_path))
        one.kill()
    assert len(list(Path("/proc/self/fd").iterdir())) <= open_before
