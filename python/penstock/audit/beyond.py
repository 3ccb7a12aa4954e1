"""What the journals of a data_dir hold that the store does not have yet: each is read from its watermark on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from penstock.audit import journals
from penstock.audit.journals import Begun, Journal, OpenJournal, Row
from penstock.audit.record import read_begin, read_private
from penstock.engine import open_journal
from penstock.instance import LOCK, is_held
from penstock.store.asking import Asking, Stored, read_begun
from penstock.store.records import Watermark

MOST_BYTES = 64 << 20
"""Of one journal what is read at one time at most, give or take a segment."""
SALT_BYTES = 16


class Beyond:
    """One reading: takes the journals that are there and their watermarks, then says what they have behind these.

    Raises OSError when they cannot be read.
    """

    def __init__(self, data_dir: str, open_journal: OpenJournal = open_journal) -> None:
        self._paths = {os.path.basename(path): path for path in journals.instances(data_dir)}
        self._open = open_journal
        self.marks: Mapping[str, Watermark] = {}
        self._begun: dict[str, dict[int, Begun]] = {}
        self.partial = False
        """Whether a journal held so much that its oldest was passed over."""

    @property
    def instances(self) -> list[str]:
        """Those that have a journal here."""
        return list(self._paths)

    async def look(self, store: Asking | None) -> None:
        """Takes the watermarks that the store has now. Raises `StoreError`."""
        if store is None:
            return
        self.marks = await store.marks(self._paths)
        self._begun = {}
        for instance, mark in self.marks.items():
            if not mark.ended and mark.begun and not is_held(os.path.join(self._paths[instance], LOCK)):
                found = await store.rows_of(instance, read_begun(mark))
                self._begun[instance] = dict(_begun(each) for each, _ in found)

    def rows(self, since_us: int, *, bounded: bool) -> Iterator[Row]:
        """Records by instance, the oldest first, each in the order in which its requests ended.

        Streams that began before the watermark and broke off with their process are among them.
        """
        for instance, path in self._paths.items():
            mark = self.marks.get(instance)
            if mark is not None and mark.ended:
                continue
            segment, offset = (mark.segment, mark.offset) if mark else (0, 0)
            begun = self._begun.get(instance)
            first = journals.first_segment(path, since_us)
            if first > segment:
                segment, offset = first, 0
            if bounded:
                segment, offset, passed_over = journals.bounded_start(path, segment, offset, MOST_BYTES)
                self.partial = self.partial or passed_over
                begun = None if passed_over else begun  # their records may be in what is not read
            yield from Journal(path, segment, offset, begun=begun, open_journal=self._open).rows()


def private_of(stored: Stored) -> bytes | None:
    """The private part without its salt."""
    return None if stored.private is None else bytes(stored.private)[SALT_BYTES:]


def _begun(stored: Stored) -> tuple[int, Begun]:
    begin, hidden = read_begin(stored.public), private_of(stored)
    return begin.number, (stored.sequence, begin, None if hidden is None else read_private(hidden))
