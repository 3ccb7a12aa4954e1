"""What the benchmark knows of its machine: listeners, processes, where commands are."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bench import machine
from bench.machine import BenchError


def test_a_foreign_listener_is_refused() -> None:
    with socket.socket() as mine:
        mine.bind(("127.0.0.1", 0))
        mine.listen()
        port = mine.getsockname()[1]
        machine.check_listener(port, [os.getpid()])
        with pytest.raises(BenchError, match="foreign process"):
            machine.check_listener(port, [])


def test_a_port_without_a_listener_is_refused() -> None:
    with pytest.raises(BenchError, match="nothing listens"):
        machine.check_listener(machine.free_port(), [os.getpid()])


def test_a_process_tree_holds_the_children() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in machine.tree(os.getpid())


def test_a_command_is_found_where_a_users_path_does_not_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "peer"
    command.write_text("#!/bin/sh\necho peer/1.0\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setattr(machine, "SYSTEM_PATH", str(tmp_path))
    assert machine.find("peer") == str(command)
    assert machine.output("peer") == "peer/1.0"
    assert machine.find("no-such-command") is None
