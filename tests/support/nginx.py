"""Starts a stock nginx with a `proxy_pass` in front of an address."""

import socket
import subprocess
from pathlib import Path
from types import TracebackType

from bench.machine import find, free_port

from .wait import until

# How often the port may turn out to be taken between its choice and its use.
_PORTS_TRIED = 3

_CONF = """\
# One server that passes everything on, with what the test adds.
daemon off;
master_process off;
pid {dir}/nginx.pid;
error_log {dir}/error.log warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://{to};
            {extra}
        }}
    }}
}}
"""


class Nginx:
    """nginx on a free port of loopback; `extra` goes into its location block."""

    def __init__(self, directory: Path, to: str, extra: str = "") -> None:
        self.directory = directory
        self.port = 0
        self._to = to
        self._extra = extra
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> "Nginx":
        for _ in range(_PORTS_TRIED):
            self._process = self._start()
            if until(self._settled, "nginx listens or has ended", 15.0) == "listens":
                return self
        raise AssertionError(f"nginx ended at once: {(self.directory / 'error.log').read_text()}")

    def _start(self) -> subprocess.Popen[bytes]:
        path = find("nginx")
        assert path, "nginx is not installed: apt-get install nginx-light"
        self.port = free_port()
        conf = self.directory / "nginx.conf"
        conf.write_text(_CONF.format(dir=self.directory, port=self.port, to=self._to, extra=self._extra))
        return subprocess.Popen([path, "-p", str(self.directory), "-e", str(self.directory / "error.log"), "-c", conf])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    def _settled(self) -> str:
        """`ended`, `listens`, or nothing yet. The master writes its pid once it has the port, and not a stranger."""
        assert self._process is not None
        if self._process.poll() is not None:
            return "ended"
        if not (self.directory / "nginx.pid").exists():
            return ""
        with socket.socket() as sock:
            return "listens" if sock.connect_ex(("127.0.0.1", self.port)) == 0 else ""
