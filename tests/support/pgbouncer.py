"""pgbouncer in transaction mode before a PostgreSQL server: a client may get another server with each transaction."""

import socket
from types import TracebackType

from bench.machine import free_port

from .postgres import USER, Postgres
from .server import Process, command, give, make_folder, remove
from .wait import until

_PORTS_TRIED = 3
_INI = """\
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = {servers}
max_client_conn = 200
"""


class PgBouncer:
    """`servers`: how many connections to the server all clients of one database share."""

    def __init__(self, postgres: Postgres, servers: int = 3) -> None:
        self.folder = make_folder("bouncer", durable=False)
        self.port = 0
        self._postgres = postgres
        self._servers = servers
        self._process: Process | None = None

    def __repr__(self) -> str:
        return f"PgBouncer(port={self.port}, servers={self._servers})"

    def __enter__(self) -> "PgBouncer":
        program = command("pgbouncer", "pgbouncer")
        for _ in range(_PORTS_TRIED):
            self.port = free_port()
            self._write()
            self._process = Process([program, str(self.folder / "pgbouncer.ini")], self.folder)
            if until(self._settled, "pgbouncer listens or has ended", 15.0) == "listens":
                return self
        assert self._process is not None
        raise AssertionError(f"pgbouncer ended at once: {self._process.said()}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.stop()
        remove(self.folder)

    def url(self, database: str) -> str:
        return self._postgres.url(database, port=self.port)

    def _write(self) -> None:
        files = {
            "users.txt": f'"{USER}" ""\n',
            "pgbouncer.ini": _INI.format(
                host=self._postgres.folder,
                port=self._postgres.port,
                own=self.port,
                folder=self.folder,
                servers=self._servers,
            ),
        }
        for name, text in files.items():
            (self.folder / name).write_text(text)
            give(self.folder / name)

    def _settled(self) -> str:
        """`ended`, `listens`, or nothing yet."""
        assert self._process is not None
        if not self._process.alive():
            return "ended"
        with socket.socket() as sock:
            return "listens" if sock.connect_ex(("127.0.0.1", self.port)) == 0 else ""
