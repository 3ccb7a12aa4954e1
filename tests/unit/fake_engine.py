"""A native engine that only remembers what it was told, and asks when a test wants it to."""

from __future__ import annotations

import hashlib
import os

import msgspec


class FakeNative:
    """Stands in for `_native.Engine`; questions put by `ask` wake the loop through a real eventfd."""

    def __init__(self, options: bytes) -> None:
        self.options = msgspec.json.decode(options)
        self.calls: list[str] = []
        self.snapshots: list[bytes] = []
        self.listeners: list[tuple[int, str]] = []
        self.answers: dict[int, bytes] = {}
        self.batches: list[bytes] = []
        self.current = False
        self.busy = 0
        self.counted: dict[tuple[str, str], list[dict[str, object]]] = {}
        self.shared: list[tuple[bool, int]] = []
        self.pressed: list[str] = []
        self.earlier: list[list[object]] = []
        self.is_told = False
        self.keeps: bool | None = False
        self.shown_sinks: list[dict[str, object]] = []
        self.shipped: dict[str, int] = {}
        self.ship_state = (0, 0, 0)
        self.refuses = ""
        self._asked: list[tuple[int, int, bytes]] = []
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    @property
    def question_fd(self) -> int:
        return self._fd

    def ask(self, number: int, kind: int, payload: bytes = b"") -> None:
        """Puts a question as a worker thread would."""
        self._asked.append((number, kind, payload))
        os.eventfd_write(self._fd, 1)

    def start(self, snapshot: bytes, listeners: list[tuple[int, str]]) -> None:
        self.apply(snapshot)
        self.listeners = listeners
        self.calls[-1] = "start"

    def apply(self, snapshot: bytes) -> None:
        if self.refuses:
            raise ValueError(self.refuses)
        self.calls.append("apply")
        self.snapshots.append(snapshot)

    def put_keys(self, batch: bytes) -> None:
        self.batches.append(batch)

    def digest(self, credential: str) -> str:
        return hashlib.sha256(credential.encode()).hexdigest()

    def keys_current(self, current: bool) -> None:
        self.current = current

    def used_keys(self) -> bytes:
        return b"{}"

    def limits_use(self, scope: str, name: str) -> bytes:
        return msgspec.json.encode(self.counted.get((scope, name), []))

    def limits_reset(self, scope: str, name: str) -> bool:
        return self.counted.pop((scope, name), None) is not None

    def limits_earlier(self, used: bytes) -> None:
        self.earlier += msgspec.json.decode(used)
        self.is_told = True

    def limits_kept(self) -> bool | None:
        return self.keeps

    def shared_state(self, away: bool, nodes: int) -> None:
        self.shared.append((away, nodes))

    def shared_pressed(self, tags: list[str]) -> None:
        self.pressed += tags

    def journal_shipped(self, segments: list[tuple[str, int]]) -> None:
        self.shipped |= dict(segments)

    def shipping(self, records: int, failures: int, oldest_us: int) -> None:
        self.ship_state = (records, failures, oldest_us)

    def questions(self) -> list[tuple[int, int, bytes]]:
        try:
            os.eventfd_read(self._fd)
        except BlockingIOError:
            return []
        asked, self._asked = self._asked, []
        return asked

    def answer(self, id: int, payload: bytes) -> None:
        self.answers[id] = payload

    def status(self) -> bytes:
        return msgspec.json.encode({"revision": len(self.snapshots), "in_flight": self.busy})

    def degraded(self, reasons: list[str]) -> None:
        self.calls.append(f"degraded {reasons}")

    def sinks(self, facts: bytes) -> None:
        self.shown_sinks = msgspec.json.decode(facts)

    def drain(self) -> None:
        self.calls.append("drain")

    def close_listeners(self) -> None:
        self.calls.append("close_listeners")

    def idle(self) -> bool:
        self.busy = max(0, self.busy - 1)
        return self.busy == 0

    def stop(self, timeout_ms: int) -> bool:
        self.calls.append("stop")
        return True

    def close(self) -> None:
        """Gives the descriptor back; the real one does so when it is dropped."""
        os.close(self._fd)
