"""`penstock serve` as a process of its own, with the fake engine: signals, exit codes, what it imports."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.priority import NICE, SLICE_NS

ROOT = Path(__file__).parents[2]
ALLOWED = {"aiosqlite", "click", "msgspec", "penstock", "tests", "uvloop", "yaml", "_yaml"}
"""Third-party packages that the serving process may load."""

OF_THE_ENVIRONMENT = ("_cython_", "cython_runtime", "_distutils_hack", "typing_extensions", "_virtualenv", "__")
"""What compiled packages register, what the interpreter loads by itself, what msgspec takes if it is installed."""


def config_of(tmp_path: Path, more: str = "") -> str:
    return (
        f"listen: 127.0.0.1:0\nadmin: {{listen: 'unix:{tmp_path}/admin.sock'}}\ndata_dir: {tmp_path}/data\n"
        f"providers: {{openai: {{api_key: x}}}}\n{more}"
    )


def start(
    tmp_path: Path, more: str = "", *, write: bool = True, stderr: int = subprocess.PIPE
) -> tuple[subprocess.Popen[str], int]:
    """The process and the descriptor on which it says that it is ready."""
    config = tmp_path / "penstock.yaml"
    if write:
        config.write_text(config_of(tmp_path, more))
    reader, writer = os.pipe()
    arguments = ["-m", "tests.unit.serve_with_fake", "serve", "-c", str(config), "--ready-fd", str(writer)]
    environ = {"PYTHONPATH": f"{ROOT / 'python'}:{ROOT}", "PATH": os.environ["PATH"]}
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=tmp_path, env=environ, pass_fds=(writer,), text=True, stdout=subprocess.PIPE, stderr=stderr,
    )  # fmt: skip
    os.close(writer)
    return process, reader


def ready(reader: int) -> str:
    with os.fdopen(reader) as pipe:
        return pipe.read()


def test_the_serving_process_loads_only_what_it_needs(tmp_path: Path) -> None:
    process, reader = start(tmp_path)
    assert ready(reader)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
    loaded = {name.partition(".")[0] for name in output.split()}
    foreign = loaded - sys.stdlib_module_names - ALLOWED
    assert process.returncode == 0
    assert "uvloop" in loaded
    assert not {name for name in foreign if not name.startswith(OF_THE_ENVIRONMENT)}
    unwanted = {"redis", "asyncpg", "prometheus_client", "pydantic", "unittest", "email"}
    assert not loaded & unwanted


def test_signals_during_the_start_are_kept_until_the_process_is_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "penstock.yaml")
    process, reader = start(tmp_path, write=False)
    writer = -1
    while writer < 0:  # until the process reads its configuration, before which it can hear signals
        with contextlib.suppress(OSError):
            writer = os.open(tmp_path / "penstock.yaml", os.O_WRONLY | os.O_NONBLOCK)
        assert process.poll() is None
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    os.write(writer, config_of(tmp_path).encode())
    os.close(writer)
    assert ready(reader)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "stopping" in errors


def test_a_second_signal_exits_at_once(tmp_path: Path) -> None:
    process, reader = start(tmp_path, "shutdown: {delay: 1h}\n")
    assert ready(reader)
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    while "stopping" not in (line := process.stderr.readline()):
        assert line
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGINT
    assert not (tmp_path / "admin.sock").exists()


def test_a_reader_of_standard_error_that_stalls_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    stalled, full = os.pipe()
    os.set_blocking(full, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(full, b"x" * 4096)
    os.set_blocking(full, True)
    process, reader = start(tmp_path, stderr=full)
    assert ready(reader)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 0
    os.close(full)
    os.close(stalled)


def test_log_lines_are_json_when_nobody_watches(tmp_path: Path) -> None:
    process, reader = start(tmp_path)
    assert ready(reader)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert all(line.startswith('{"ts":"') for line in errors.splitlines())


@pytest.mark.parametrize(("more", "code"), [("listn: x\n", 2), ("tls: {ca_file: /not/there}\n", 2)])
def test_a_wrong_configuration_exits_with_2(tmp_path: Path, more: str, code: int) -> None:
    process, reader = start(tmp_path, more)
    assert ready(reader) == ""
    _, errors = process.communicate(timeout=20)
    assert process.returncode == code
    assert f"{tmp_path}/penstock.yaml:5:" in errors


def test_what_cannot_start_exits_with_1(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the directory should be")
    process, reader = start(tmp_path)
    assert ready(reader) == ""
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "cannot start: data_dir" in errors


def kernel() -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2])


def slice_ns(task: int) -> int:
    """The runtime that sched_getattr(2) tells."""
    attributes = ctypes.create_string_buffer(48)
    assert ctypes.CDLL(None).syscall(315, task, attributes, len(attributes), 0) == 0
    runtime: int = struct.unpack_from("=Q", attributes, 24)[0]
    return runtime


def test_what_decides_gives_way_to_what_moves(tmp_path: Path) -> None:
    process, reader = start(tmp_path)
    assert ready(reader)
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    tasks = [int(name) for name in os.listdir(f"/proc/{process.pid}/task")]
    assert {os.getpriority(os.PRIO_PROCESS, task) for task in tasks} == {max(usual, NICE)}
    if platform.machine() == "x86_64" and kernel() >= (6, 12):
        assert {slice_ns(task) for task in tasks} == {SLICE_NS}
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 0
