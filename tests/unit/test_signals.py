"""Signals that come before the loop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from penstock.signals import Early


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_kept(number: signal.Signals) -> None:
    early = Early()
    early.watch()
    assert not early.stop
    os.kill(os.getpid(), number)
    assert early.stop


def test_a_hang_up_does_nothing() -> None:
    early = Early()
    early.watch()
    os.kill(os.getpid(), signal.SIGHUP)
    assert not early.stop


def test_a_second_stop_ends_the_process() -> None:
    program = (
        "import os, penstock.signals as s; s.Early().watch(); [os.kill(os.getpid(), n) for n in (15, 2)]; print(1)"
    )
    done = subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True)
    assert (done.returncode, done.stdout) == (130, b"")
