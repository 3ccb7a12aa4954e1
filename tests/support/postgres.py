"""A PostgreSQL server of the tests' own: a fresh cluster, reachable over loopback and a Unix socket."""

import itertools
import os
import signal
from types import TracebackType
from urllib.parse import quote

from bench.machine import free_port, tree

from .server import Process, command, give, make_folder, remove, run
from .wait import until

USER = "penstock"
CHECKED = "checked"
"""Must give its password over TCP; everyone else is let in."""
PASSWORD = "a pass:word/with@signs"
_PORTS_TRIED = 3
_HBA = f"""\
# who may come in
host all {CHECKED} 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
local all all trust
"""
# What is lost when the machine loses power matters to no test unless it says so.
_CARELESS = {"fsync": "off", "full_page_writes": "off"}
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "shared_buffers": "16MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
    "autovacuum": "off",
}


class Postgres:
    """Leaving the `with` block stops it and removes what it kept. `durable`: it syncs its files as in earnest."""

    def __init__(self, *, durable: bool = False) -> None:
        self.folder = make_folder("pg", durable=durable)
        self.port = 0
        self._data = self.folder / "data"
        self._settings = _SETTINGS | ({} if durable else _CARELESS)
        self._process: Process | None = None
        self._was_killed = False
        self._numbers = itertools.count(1)

    def __repr__(self) -> str:
        return f"Postgres(port={self.port}, folder={str(self.folder)!r})"

    def __enter__(self) -> "Postgres":
        arguments = ["-D", str(self._data), "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        run([command("initdb", "postgresql"), *arguments], self.folder)
        hba = self._data / "pg_hba.conf"
        hba.write_text(_HBA)
        give(hba)
        for _ in range(_PORTS_TRIED):
            self.port = free_port()
            if self._starts():
                self.sql(f"CREATE ROLE {CHECKED} LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
                return self
        raise AssertionError(f"PostgreSQL ended at once: {self._said()}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._was_killed:
            self._starts()  # to find its predecessor's shared memory, which nobody else would free
        if self._process is not None:
            self._process.stop(signal.SIGQUIT)  # at once, without writing what is removed next
        remove(self.folder)

    @property
    def pid(self) -> int:
        """Of the server; those who work for it are its children."""
        assert self._process is not None
        return self._process.pid

    def url(self, database: str, *, port: int | None = None, user: str = USER, password: str | None = None) -> str:
        """The address of a database over loopback; another port is that of a proxy or pooler before it."""
        who = user if password is None else f"{user}:{quote(password, safe='')}"
        return f"postgresql://{who}@127.0.0.1:{port or self.port}/{database}"

    def socket_url(self, database: str) -> str:
        return f"postgresql:///{database}?host={quote(str(self.folder), safe='')}&port={self.port}&user={USER}"

    def create(self, template: str = "template1") -> str:
        """A new database, a copy of another one; its name."""
        name = f"t{next(self._numbers)}"
        self.sql(f'CREATE DATABASE {name} TEMPLATE "{template}"')
        return name

    def drop(self, name: str) -> None:
        """Removes a database, whoever still is in it."""
        self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def sql(self, text: str, database: str = "postgres") -> str:
        """Runs statements as the superuser; values one a line, columns between `|`."""
        arguments = ["-XAtq", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder), "-p", str(self.port), "-U", USER]
        return run([command("psql", "postgresql"), *arguments, "-c", text, database], self.folder).strip()

    def start(self) -> None:
        """Again, after `kill` or `stop`."""
        assert self._starts(), self._said()

    def stop(self) -> None:
        """In order: whoever is connected is cut, nothing is lost."""
        if self._process is not None:
            self._process.stop(signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL to the server and everyone who works for it, at this moment."""
        assert self._process is not None
        self._process.kill()
        self._was_killed = True

    def stall(self) -> None:
        """It is there and says nothing, until `resume`."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        self._send(signal.SIGCONT)

    def _send(self, number: int) -> None:
        """A signal to the server and to everyone who works for it."""
        for pid in tree(self.pid):
            os.kill(pid, number)

    def _starts(self) -> bool:
        settings = self._settings | {"port": str(self.port), "unix_socket_directories": str(self.folder)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        arguments = [command("postgres", "postgresql"), "-D", str(self._data), *options]
        self._process = process = Process(arguments, self.folder)
        self._was_killed = False
        return until(lambda: self._settled(process), "PostgreSQL is ready or has ended", 30.0) == "ready"

    def _settled(self, process: Process) -> str:
        """`ended`, `ready`, or nothing yet: the eighth line of its pid file says so, unless a killed one wrote it."""
        if not process.alive():
            return "ended"
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return ""
        is_ready = len(lines) > 7 and lines[7].strip() == "ready" and lines[0] == str(process.pid)
        return "ready" if is_ready else ""

    def _said(self) -> str:
        return self._process.said() if self._process is not None else ""
