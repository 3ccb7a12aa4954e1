"""What the journals of a data_dir hold that the store does not have yet: each is read from its watermark on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from penstock.audit import journals
from penstock.audit.journals import Journal, OpenJournal, Row
from penstock.engine import open_journal
from penstock.store.records import Watermark

MOST_BYTES = 64 << 20
"""Of one journal what is read at one time at most, give or take a segment."""

Marks = Mapping[str, Watermark]


class Unshipped:
    """One reading: takes the journals that are there, then says what they have behind watermarks.

    Raises OSError when they cannot be read.
    """

    def __init__(self, data_dir: str, open_journal: OpenJournal = open_journal) -> None:
        self._paths = journals.instances(data_dir)
        self._open = open_journal
        self.partial = False
        """Whether a journal held so much that its oldest was passed over."""

    @property
    def instances(self) -> list[str]:
        """Those whose watermarks are needed."""
        return [os.path.basename(path) for path in self._paths]

    def rows(self, marks: Marks, since_us: int, *, bounded: bool) -> Iterator[Row]:
        """Records by instance, the oldest first, each in the order in which its requests ended."""
        for path in self._paths:
            mark = marks.get(os.path.basename(path))
            if mark is not None and mark.ended:
                continue
            segment, offset = (mark.segment, mark.offset) if mark else (0, 0)
            first = journals.first_segment(path, since_us)
            if first > segment:
                segment, offset = first, 0
            if bounded:
                segment, offset, passed_over = journals.bounded_start(path, segment, offset, MOST_BYTES)
                self.partial = self.partial or passed_over
            yield from Journal(path, segment, offset, open_journal=self._open).rows()
