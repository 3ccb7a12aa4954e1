"""Starts a stock nginx with a `proxy_pass` in front of an address."""

import socket
import subprocess
from pathlib import Path
from types import TracebackType

from .gateway import nginx_path
from .wait import until

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


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Nginx:
    """nginx on a free port of loopback; `extra` goes into its location block."""

    def __init__(self, directory: Path, to: str, extra: str = "") -> None:
        self.directory = directory
        self.port = free_port()
        self._conf = directory / "nginx.conf"
        self._conf.write_text(_CONF.format(dir=directory, port=self.port, to=to, extra=extra))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> "Nginx":
        path = nginx_path()
        assert path, "nginx is not installed: apt-get install nginx-light"
        self._process = subprocess.Popen([path, "-p", str(self.directory), "-e", "stderr", "-c", str(self._conf)])
        until(self._listens, "nginx listens")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "nginx ended at once"
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0
