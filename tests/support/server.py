"""Launches servers of Debian's packages: in a folder of their own, never as root, never longer than the tests."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.machine import find, tree

from .wait import until

_ROOM_BYTES = 2 << 30


def account() -> pwd.struct_passwd | None:
    """As whom a server runs when the tests run as root, which most servers refuse to be; else None."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise AssertionError("neither a user `postgres` nor `nobody` is there to run a server as")


def make_folder(name: str, *, durable: bool = True) -> Path:
    """A new folder that the server owns; what need not last is kept in memory where there is plenty.

    The path is short, as a Unix socket's has a bound of about 100 characters.
    """
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM_BYTES
    folder = Path(tempfile.mkdtemp(prefix=f"penstock-{name}-", dir=memory if roomy and not durable else "/tmp"))
    give(folder)
    return folder


def give(path: Path) -> None:
    """Makes the server the owner of a file that the tests wrote for it."""
    if who := account():
        os.chown(path, who.pw_uid, who.pw_gid)


def command(name: str, package: str) -> str:
    """The path of a server's program, wherever Debian puts it."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    found = next((str(path / name) for path in reversed(versions) if (path / name).exists()), None) or find(name)
    assert found, f"{name} is not installed: apt-get install --no-install-recommends {package}"
    return found


def run(arguments: Sequence[str], folder: Path) -> str:
    """Runs a program to its end as the server's user; its output. Fails when the program does."""
    who = account()
    done = subprocess.run(
        arguments,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        user=who.pw_uid if who else None,
        group=who.pw_gid if who else None,
        extra_groups=[] if who else None,
    )
    assert done.returncode == 0, f"{arguments[0]}: {done.stderr or done.stdout}"
    return done.stdout


class Process:
    """A server's process. It ends with the tests, however they end."""

    def __init__(self, arguments: Sequence[str], folder: Path) -> None:
        self.log = folder / "log"
        who = account()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [command("setpriv", "util-linux"), "--pdeathsig", "TERM", *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=who.pw_uid if who else None,
                group=who.pw_gid if who else None,
                extra_groups=[] if who else None,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self, number: int = signal.SIGTERM, seconds: float = 15.0) -> None:
        """Asks it to end, and makes it end."""
        if self.alive():
            self._process.send_signal(number)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def send(self, number: int) -> None:
        """A signal to it alone."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to it and to all that it started; back when they are gone."""
        family = tree(self.pid) if self.alive() else []
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(15.0)
        for pid in family:
            _wait_gone(pid)

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]


def _wait_gone(pid: int) -> None:
    """Until the process is not there any more, or only its name is."""

    def gone() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        except OSError:
            return True

    until(gone, f"process {pid} is gone", 15.0)


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
