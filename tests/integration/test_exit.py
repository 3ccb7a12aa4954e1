"""An interpreter that forgets to stop the engine still exits, at once and without a word."""

import subprocess

import pytest

from tests.support.gateway import clean_environment, command

_START = """\
import json, socket
from penstock import _native
sock = socket.socket(); sock.bind(("127.0.0.1", 0)); sock.listen()
options = {"workers": 2, "max_connections": 0, "log": {"level": "info", "format": "json"}, "instance": "test"}
engine = _native.Engine(json.dumps(options).encode())
timeouts = {name + "_ms": 1000 for name in (
    "connect", "first_token", "between_bytes", "total", "header_read", "body_read_idle", "client_idle")}
snapshot = {
    "format": 1, "revision": 1, "auth": "open", "trusted_proxies": [], "allowed_hosts": ["localhost", "127.0.0.1"],
    "timeouts": timeouts, "max_attempts": 4, "keepalive_ms": 1000,
    "body": {"max_bytes": 1 << 20, "max_inflight_bytes": 1 << 24},
    "log": {"level": "info", "format": "json", "access": False}, "tls": {"ca_file": None},
    "providers": [], "models": [], "patterns": [], "default_provider": None,
    "limits": {"default": None, "global": None, "models": {}, "providers": {}, "unpriced": "refuse", "zone": "UTC"},
    "prices": []}
"""

ENDS = {
    "never started": "",
    "started": 'engine.start(json.dumps(snapshot).encode(), [(sock.fileno(), "data")])',
    "a connection open": (
        'engine.start(json.dumps(snapshot).encode(), [(sock.fileno(), "data")])\n'
        "client = socket.create_connection(sock.getsockname())\n"
        'client.sendall(b"GET /health/live HTTP/1.1\\r\\nhost: localhost\\r\\n\\r\\n")\n'
        'assert client.recv(12) == b"HTTP/1.1 200"'
    ),
    "stopped twice": (
        'engine.start(json.dumps(snapshot).encode(), [(sock.fileno(), "data")])\n'
        "assert engine.stop(2000)\nengine.stop(2000)"
    ),
    "start refused": (
        "try:\n    engine.start(b'{}', [])\nexcept ValueError:\n    pass\nelse:\n    raise SystemExit('no error')"
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_it_exits(end: str) -> None:
    done = subprocess.run(
        [command()[0], "-c", _START + ENDS[end]],
        capture_output=True,
        text=True,
        timeout=20,
        env=clean_environment({"PYTHONWARNINGS": "ignore::ResourceWarning"}),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "panicked" not in done.stderr
    assert "Traceback" not in done.stderr
