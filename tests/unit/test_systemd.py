"""Telling a service supervisor."""

from __future__ import annotations

import socket
from pathlib import Path

from penstock.systemd import notify


def test_states_arrive_as_sd_notify_sends_them(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.settimeout(5)
        for state in ("READY", "RELOADING", "STOPPING"):
            notify({"NOTIFY_SOCKET": path}, state)
        assert listener.recv(100) == b"READY=1"
        assert listener.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert listener.recv(100) == b"STOPPING=1"


def test_nobody_listening_is_no_error(tmp_path: Path) -> None:
    notify({}, "READY")
    notify({"NOTIFY_SOCKET": "relative"}, "READY")
    notify({"NOTIFY_SOCKET": str(tmp_path / "none")}, "READY")
