"""Runs penstock-load, the Rust half of the benchmark."""

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.machine import ROOT, BenchError

# Longer than any mode takes, answers that never come included.
TIME_LIMIT_S = 150


def binary() -> Path:
    """The release build of penstock-load; PENSTOCK_LOAD names another one."""
    if named := os.environ.get("PENSTOCK_LOAD"):
        return Path(named)
    subprocess.run(
        ["cargo", "build", "--quiet", "--release", "--locked", "--package", "penstock-load"], cwd=ROOT, check=True
    )
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "penstock-load"


def drive(program: Path, mode: str, options: dict[str, str]) -> dict[str, Any]:
    """One run of the driver; every answer was checked, or this raises."""
    command = [str(program), "drive", mode]
    for name, value in options.items():
        command += [f"--{name}", value]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False)
    if done.returncode != 0:
        whom = options.get("target", "")
        raise BenchError(f"{mode} {whom}: {done.stderr.strip() or f'penstock-load ended with {done.returncode}'}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


class Mock:
    """The mock upstream, plain and TLS; it ends when this process does."""

    def __init__(self, program: Path, directory: Path, threads: int) -> None:
        self.directory = directory
        self.ca_file = directory / "ca.pem"
        self._process = subprocess.Popen(
            [str(program), "mock", "--tls-ca", str(self.ca_file), "--threads", str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        ready = json.loads(self._process.stdout.readline())
        self.plain: str = ready["plain"]
        self.tls: str = ready["tls"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()
