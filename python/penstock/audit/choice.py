"""Which records are meant: by time, key, team, model, target, status, outcome, request, tag."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from msgspec import Struct
from msgspec.structs import force_setattr

from penstock.audit.record import Record
from penstock.config.units import parse_duration

TEXT_BYTES = 256
"""So much of a text stands in a record (native/core/src/observe/record_form.rs), and in what is made of records."""

_EPOCH = datetime.fromtimestamp(0, UTC)
_MICROSECOND = timedelta(microseconds=1)
_STATUS = re.compile(r"[1-5](\d\d|xx)\Z", re.ASCII)


class Choice(Struct, frozen=True, kw_only=True):
    """Every condition that is set must hold; times are microseconds UTC of the request's beginning. Texts are cut as
    those of records are: a longer one would be that of none.
    """

    since_us: int = 0
    until_us: int | None = None
    key: str | None = None
    team: str | None = None
    model: str | None = None
    target: str | None = None
    """`provider/model`, or the provider alone."""
    status: str | None = None
    """`429`, or `4xx`."""
    outcome: str | None = None
    request_id: str | None = None
    tag: tuple[str, str] | None = None
    """Name and value of one of its tags."""
    whole: bool = True
    """Prompts and answers are wanted too; False: they may be left out."""

    def __post_init__(self) -> None:
        for name in ("key", "team", "model", "target", "request_id"):
            text: str | None = getattr(self, name)
            if text is not None:
                force_setattr(self, name, _cut(text))
        if self.tag is not None:
            force_setattr(self, "tag", tuple(map(_cut, self.tag)))

    def texts(self) -> list[str]:
        """Every text that a record must have."""
        wanted = (self.key, self.team, self.model, self.target, self.outcome, self.request_id, *(self.tag or ()))
        return [text for text in wanted if text is not None]

    def takes(self, record: Record) -> bool:
        """Whether the record is meant."""
        if record.started_us < self.since_us or (self.until_us is not None and record.started_us >= self.until_us):
            return False
        if self.target is not None and record.target != self.target:
            provider, slash, _ = (record.target or "").partition("/")
            if not slash or provider != self.target:
                return False
        if self.status is not None and not _fits(str(record.status), self.status):
            return False
        if self.tag is not None and (record.tags or {}).get(self.tag[0]) != self.tag[1]:
            return False
        wanted = ((self.key, record.key_id), (self.team, record.team), (self.model, record.model))
        more = ((self.outcome, record.outcome), (self.request_id, record.request_id))
        return all(want is None or want == found for want, found in (*wanted, *more))


def parse_status(text: str) -> str:
    """`429` or `4xx`. Raises ValueError."""
    if not _STATUS.match(text):
        raise ValueError("expected a status such as 429, or 4xx")
    return text


def statuses(text: str) -> tuple[int, int]:
    """The first and the last status that `429` or `4xx` means."""
    return int(text.replace("xx", "00")), int(text.replace("xx", "99"))


def parse_tag(text: str) -> tuple[str, str]:
    """`name=value`. Raises ValueError."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError("expected name=value")
    return name, value


def parse_time(text: str, now: datetime) -> int:
    """Microseconds UTC of `2h` (that long ago), `2026-01-31` or an RFC 3339 time; 0 before 1970, when there were no
    requests. Raises ValueError.
    """
    try:
        moment = _read_time(text, now)
    except OverflowError:
        raise ValueError("expected a time of the years 1 to 9999") from None
    return max(0, (moment - _EPOCH) // _MICROSECOND)


def _read_time(text: str, now: datetime) -> datetime:
    try:
        ago_ms = parse_duration(text)
    except ValueError:
        pass
    else:
        return now - timedelta(milliseconds=ago_ms)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("expected a time such as 2026-01-31T12:00:00Z, 2026-01-31, or 2h for that long ago") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _cut(text: str) -> str:
    """As much of it as a record has, on a character boundary."""
    whole = text.encode("utf-8", "surrogatepass")
    end = min(len(whole), TEXT_BYTES)
    while end < len(whole) and whole[end] & 0xC0 == 0x80:
        end -= 1
    return whole[:end].decode("utf-8", "surrogatepass")


def _fits(status: str, wanted: str) -> bool:
    return status == wanted or (wanted.endswith("xx") and status[:1] == wanted[:1] and status.isdigit())
