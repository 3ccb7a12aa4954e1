"""The Redis of a side that shares its limits."""

import socket
import subprocess
import time
from pathlib import Path

from bench import machine
from bench.machine import BenchError

START_LIMIT_S = 10.0
ASK_EVERY_S = 0.01


class Redis:
    """A server on loopback that keeps nothing on disk; up when it is made."""

    def __init__(self, directory: Path) -> None:
        program = machine.find("redis-server")
        if program is None:
            raise BenchError("redis-server is missing: apt-get install --yes redis-server")
        self.port = machine.free_port()
        place = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(directory)]
        command = [program, *place, "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_LIMIT_S
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.stop()
                raise BenchError("redis-server does not start")
            time.sleep(ASK_EVERY_S)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}/0"

    def commands(self) -> int:
        """How many scripts it was told to run so far: all that a gateway asks."""
        lines = self._ask(b"INFO commandstats\r\n").splitlines()
        counted = [line for line in lines if line.startswith(("cmdstat_evalsha:", "cmdstat_eval:"))]
        return sum(int(line.partition("calls=")[2].partition(",")[0]) for line in counted)

    def stop(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            return self._ask(b"PING\r\n").startswith("+PONG")
        except OSError:
            return False

    def _ask(self, command: bytes) -> str:
        with socket.create_connection(("127.0.0.1", self.port), 5.0) as client:
            client.sendall(command + b"QUIT\r\n")
            with client.makefile("rb") as answers:
                return answers.read().decode()
