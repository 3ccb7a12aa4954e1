"""A Redis server of the tests' own, on a free port of loopback."""

import signal
import socket
from collections.abc import Sequence
from types import TracebackType

from bench.machine import free_port

from .server import Process, command, make_folder, remove
from .wait import until

_PORTS_TRIED = 3


class Redis:
    """Leaving the `with` block stops it. `durable`: every write is on disk before it is acknowledged. `options` go to
    the program as they are."""

    def __init__(self, *, durable: bool = False) -> None:
        self.folder = make_folder("redis", durable=durable)
        self.port = 0
        self.options: Sequence[str] = ()
        self._durable = durable
        self._process: Process | None = None

    def __repr__(self) -> str:
        return f"Redis(port={self.port}, durable={self._durable})"

    def __enter__(self) -> "Redis":
        for _ in range(_PORTS_TRIED):
            self.port = free_port()
            if self._starts():
                return self
        raise AssertionError(f"Redis ended at once: {self._said()}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        remove(self.folder)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Again, after `kill` or `stop`. Without `durable` it begins empty."""
        assert self._starts(), self._said()

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """SIGKILL, at this moment."""
        assert self._process is not None
        self._process.kill()

    def pause(self) -> None:
        """It is there and says nothing, until `resume`."""
        assert self._process is not None
        self._process.send(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send(signal.SIGCONT)

    def call(self, *words: str) -> str:
        """One command that answers with one line, such as PING, SET or FLUSHALL; the answer as Redis writes it."""
        with socket.create_connection(("127.0.0.1", self.port), 5.0) as sock, sock.makefile("rwb") as stream:
            stream.write(b"*%d\r\n" % len(words))
            for word in words:
                stream.write(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()))
            stream.flush()
            return stream.readline().decode().rstrip("\r\n")

    def _starts(self) -> bool:
        keep = ["--appendonly", "yes", "--appendfsync", "always"] if self._durable else ["--appendonly", "no"]
        place = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        arguments = [command("redis-server", "redis-server"), *place, "--save", "", *keep, *self.options]
        self._process = process = Process(arguments, self.folder)
        return until(lambda: self._settled(process), "Redis answers or has ended", 15.0) == "answers"

    def _settled(self, process: Process) -> str:
        """`ended`, `answers`, or nothing yet."""
        if not process.alive():
            return "ended"
        try:
            return "answers" if self.call("PING") == "+PONG" else ""
        except OSError:
            return ""

    def _said(self) -> str:
        return self._process.said() if self._process is not None else ""
