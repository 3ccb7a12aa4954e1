"""Journals made by hand, as native writes them: `native/core/src/journal/entry.rs` and `segment.rs` say how."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from struct import pack

import msgspec

from penstock.audit.record import BEGIN, END, RECORD

DATA = Path(__file__).parent.parent / "data"
_FULL = msgspec.msgpack.decode((DATA / "record_1.msgpack").read_bytes())
_BEGUN = msgspec.msgpack.decode((DATA / "begin_1.msgpack").read_bytes())
_NUMBER, _REQUEST, _STARTED, _KEY, _MODEL, _STATUS = 1, 3, 6, 7, 13, 15
"""Places in a record that tests set."""

SALT = b"s" * 16


def _table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC = _table()


def crc32c(data: bytes) -> int:
    """RFC 3720, appendix B.4."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


class MadeJournal:
    """The journal of one instance. Its process is `alive` while the block that opens it runs."""

    def __init__(self, data_dir: Path, instance: str) -> None:
        self.instance = instance
        self.path = data_dir / "journal" / instance
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "lock").touch()
        self.sequence = 0
        self.hash = hashlib.sha256(b"penstock journal " + instance.encode()).digest()
        self.segment = 0
        self.written = 0
        self._lock = -1
        self.turn()

    def __enter__(self) -> MadeJournal:
        self._lock = os.open(self.path / "lock", os.O_RDWR)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self

    def __exit__(self, *_: object) -> None:
        self.die()

    def die(self) -> None:
        """The process is gone."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def turn(self) -> None:
        """Begins the next segment."""
        before, self.segment = self.written, self.segment + 1
        head = b"penjrnl\x01" + self.instance.encode().ljust(32, b"\0")[:32]
        head += pack("<QQQQ", self.segment, self.sequence, before, 0) + self.hash
        self.written = 0
        self._write(head + pack("<I", crc32c(head)))

    def put(self, kind: int, public: bytes, private: bytes | None = None) -> int:
        """Appends an entry, committed; its sequence number."""
        self.sequence += 1
        head = bytes([kind, private is not None, 0, 0]) + pack("<IQ", len(public), self.sequence)
        sealed = b"" if private is None else SALT + private
        digest = hashlib.sha256(sealed).digest() if sealed else b""
        self.hash = hashlib.sha256(head + self.hash + public + digest).digest()
        body = head + self.hash + public + digest + sealed
        length = pack("<I", len(body))
        self._write(length + pack("<I", crc32c(length + body)) + body)
        return self.sequence

    def record(
        self,
        number: int,
        *,
        ended_us: int,
        key: str | None = "k",
        request: str | None = None,
        model: str | None = "m",
        status: int | None = 200,
        private: bytes | None = b"\x92\xa9192.0.2.7\xc0",
    ) -> int:
        """A finished request; `tests/data/record_1.msgpack` says the rest. It took five seconds."""
        places = list(_FULL)
        places[_NUMBER], places[_REQUEST], places[_STARTED] = number, request or f"req-{number}", ended_us - 5_000_000
        places[_KEY], places[_MODEL], places[_STATUS] = key, model, status
        places[24] = [0, 0, None, None, None, 5_000_000, None]
        places[2] = 1
        return self.put(RECORD, msgspec.msgpack.encode(places), private)

    def begin(self, number: int, *, started_us: int) -> int:
        """A stream that begins."""
        places = list(_BEGUN)
        places[1], places[2], places[3], places[4] = number, f"req-{number}", started_us, "k"
        return self.put(BEGIN, msgspec.msgpack.encode(places))

    def end(self) -> int:
        """The journal ends in order."""
        return self.put(END, b"\x92\x01\x02")

    def _write(self, data: bytes) -> None:
        with (self.path / f"{self.segment:010}.segment").open("ab") as file:
            file.write(data)
        self.written += len(data)
        committed = pack("<QQ", self.segment, self.written)
        (self.path / "committed").write_bytes(committed + pack("<I", crc32c(committed)))
