"""Tells a service supervisor how far we are: sd_notify(3), when NOTIFY_SOCKET names where."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping


def notify(environ: Mapping[str, str], state: str) -> None:
    """Sends `READY`, `RELOADING` or `STOPPING`; a supervisor that does not listen is no reason to fail."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    message = f"{state}=1"
    if state == "RELOADING":
        message += f"\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(1)  # a supervisor that does not read holds nothing up
            sender.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            sender.send(message.encode())
    except OSError:
        return
