"""What the journals of a data_dir hold that the store does not have yet: each is read from its watermark on."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping

from penstock.audit import journals
from penstock.audit.journals import Begun, Journal, OpenJournal, Row
from penstock.audit.record import read_begin, read_private
from penstock.engine import open_journal
from penstock.instance import is_live
from penstock.store.asking import Asking, Stored, read_begun
from penstock.store.records import Watermark

MOST_BYTES = 64 << 20
"""Of all journals together what is read for one answer, about."""
MOST_S = 2.0
"""How long that may take, the wait for others that are answered included."""
SALT_BYTES = 16


class Beyond:
    """One reading: takes the journals that are there and their watermarks, then says what they have behind these.

    One that cannot be read holds up no other. Raises OSError when it cannot be told which there are.
    """

    def __init__(self, data_dir: str, open_journal: OpenJournal = open_journal, *, most_s: float = MOST_S) -> None:
        """`most_s` is reckoned from `look` on."""
        self._paths = {os.path.basename(path): path for path in journals.instances(data_dir)}
        self._open, self._most_s = open_journal, most_s
        self._left_bytes, self._until = MOST_BYTES, 0.0
        self.marks: Mapping[str, Watermark] = {}
        self._begun: dict[str, dict[int, Begun]] = {}
        self.partial = False
        """Whether the journals held so much that something was passed over, or one could not be read."""
        self.unread: list[str] = []
        """Which could not, and why."""

    @property
    def instances(self) -> list[str]:
        """Those that have a journal here."""
        return list(self._paths)

    async def look(self, store: Asking | None) -> None:
        """Takes the watermarks that the store has now. Raises `StoreError`."""
        if store is not None:
            self.marks = await store.marks(self._paths)
            self._begun = {}
            for instance, mark in self.marks.items():
                if not mark.ended and mark.begun and not is_live(self._paths[instance]):
                    found = await store.rows_of(instance, read_begun(mark))
                    self._begun[instance] = dict(_begun(each) for each, _ in found)
        self._until = time.monotonic() + self._most_s

    def rows(self, since_us: int) -> Iterator[Row]:
        """Records by instance, the oldest first, each in the order in which its requests ended.

        Streams that began before the watermark and broke off with their process are among them.
        """
        for instance in self._unshipped():
            yield from self._readable(instance, self._rows(instance, since_us))

    def some_rows(self, since_us: int) -> Iterator[Row]:
        """The same as far as the bounds of one answer let it, which are shared by all of them: the newest instance
        first, and of each what came last.
        """
        for instance in reversed(self._unshipped()):
            yield from self._readable(instance, self._some_rows(instance, since_us))

    def _rows(self, instance: str, since_us: int) -> Iterator[Row]:
        segment, offset = self._start(instance, since_us)
        yield from self._journal(instance, segment, offset, self._begun.get(instance)).rows()

    def _some_rows(self, instance: str, since_us: int) -> Iterator[Row]:
        segment, offset = self._start(instance, since_us)
        path, begun = self._paths[instance], self._begun.get(instance)
        if self._is_spent(0):
            self.partial = self.partial or journals.bytes_behind(path, segment, offset) > 0
            return
        segment, offset, passed_over = journals.bounded_start(path, segment, offset, self._left_bytes)
        self.partial = self.partial or passed_over
        begun = None if passed_over else begun  # their records may be in what is not read
        journal = self._journal(instance, segment, offset, begun)
        yield from journal.newest(self._is_spent)
        self.partial = self.partial or journal.was_cut

    def _readable(self, instance: str, rows: Iterator[Row]) -> Iterator[Row]:
        """As many as can be read."""
        try:
            yield from rows
        except NotADirectoryError:
            return  # it is no journal
        except OSError as error:
            self.partial = True
            self.unread.append(journals.unread(self._paths[instance], error))

    def _unshipped(self) -> list[str]:
        """Those of which the store may lack something."""
        return [instance for instance in self._paths if instance not in self.marks or not self.marks[instance].ended]

    def _start(self, instance: str, since_us: int) -> tuple[int, int]:
        """Where its watermark is, or further on: what began since a time."""
        mark = self.marks.get(instance)
        segment, offset = (mark.segment, mark.offset) if mark else (0, 0)
        first = journals.first_segment(self._paths[instance], since_us)
        return (first, 0) if first > segment else (segment, offset)

    def _journal(self, instance: str, segment: int, offset: int, begun: dict[int, Begun] | None) -> Journal:
        return Journal(self._paths[instance], segment, offset, begun=begun, open_journal=self._open)

    def _is_spent(self, more_bytes: int) -> bool:
        self._left_bytes -= more_bytes
        return self._left_bytes <= 0 or time.monotonic() > self._until


def private_of(stored: Stored) -> bytes | None:
    """The private part without its salt."""
    return None if stored.private is None else bytes(stored.private)[SALT_BYTES:]


def _begun(stored: Stored) -> tuple[int, Begun]:
    begin, hidden = read_begin(stored.public), private_of(stored)
    return begin.number, (stored.sequence, begin, None if hidden is None else read_private(hidden))
