"""Runs a module of the tests in a process of its own, on this tree's code."""

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[2]


class Child:
    """`python -m MODULE ARGUMENTS`; talks in lines. Leaving the block ends it."""

    def __init__(self, module: str, *arguments: str) -> None:
        path = os.pathsep.join([str(ROOT / "python"), str(ROOT)])
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Child":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def line(self) -> str:
        """The next line it says, without its end; empty when there is none any more."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def rest(self, seconds: float = 30.0) -> tuple[str, int]:
        """What it says until it ends by itself, and its exit code."""
        said, _ = self.process.communicate(timeout=seconds)
        return said, self.process.returncode

    def kill(self) -> str:
        """SIGKILL; what it had said and nobody had read yet."""
        self.process.kill()
        said, _ = self.process.communicate(timeout=10.0)
        return said
