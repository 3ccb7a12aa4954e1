"""Files that a command writes: whole, or as they were before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.cli.written import written
from tests.support.wait import until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_who_is_told_to_end_leaves_what_was_there_and_nothing_else(tmp_path: Path, number: signal.Signals) -> None:
    file = tmp_path / "out"
    file.write_text("before")
    handler = "default_int_handler" if number == signal.SIGINT else "SIG_DFL"
    code = (
        # Whoever runs the tests may ignore them.
        f"import signal, time\nsignal.signal({number:d}, signal.{handler})\n"
        "from penstock.cli.written import written\n"
        f"with written({str(file)!r}) as out:\n    out.write('x' * 100_000)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        until(lambda: len(list(tmp_path.iterdir())) == 2 or process.poll() is not None, "it writes")
        process.send_signal(number)
        assert process.wait(10) != 0
    assert [each.name for each in tmp_path.iterdir()] == ["out"]
    assert file.read_text() == "before"


def test_a_signal_that_is_ignored_stays_so(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with written(str(tmp_path / "out")) as out:
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            out.write("whole")
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (tmp_path / "out").read_text() == "whole"


def test_where_no_other_file_can_be_made_it_is_written_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "out"
    file.write_text("before")
    inode = file.stat().st_ino
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(tmp_path) and access(path, mode))
    with written(str(file)) as out:
        out.write("after")
    assert (file.read_text(), file.stat().st_ino) == ("after", inode)
