"""Which records a choice takes, and how times and statuses are written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.audit.choice import Choice, parse_status, parse_time

from .test_record import FULL

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        ({}, True),
        ({"key": "abcdefghijkl", "team": "lab", "model": "fast", "outcome": "complete", "request_id": "req_1"}, True),
        ({"key": "other"}, False),
        ({"key": "abcdefghijkl", "model": "slow"}, False),
        ({"target": "up"}, True),
        ({"target": "up/real"}, True),
        ({"target": "u"}, False),
        ({"target": "up/"}, False),
        ({"status": "200"}, True),
        ({"status": "2xx"}, True),
        ({"status": "4xx"}, False),
        ({"since_us": FULL.started_us}, True),
        ({"since_us": FULL.started_us + 1}, False),
        ({"until_us": FULL.started_us}, False),
        ({"until_us": FULL.started_us + 1}, True),
    ],
)
def test_every_condition_must_hold(wanted: dict[str, Any], taken: bool) -> None:
    assert Choice(**wanted).takes(FULL) is taken


@pytest.mark.parametrize(
    ("lead", "letter", "count", "kept_count"),
    [
        ("", "é", 256, 128),
        ("x", "é", 200, 127),
        ("", "x", 256, 256),
        ("", "x", 257, 256),
        ("", "€", 90, 85),
        ("", "𝄞", 65, 64),
        ("", "\udce9", 90, 85),
        ("", "x", 0, 0),
    ],
)
def test_what_is_asked_for_is_cut_as_records_are(lead: str, letter: str, count: int, kept_count: int) -> None:
    text, kept = lead + letter * count, lead + letter * kept_count
    record = replace(FULL, request_id=kept, model=kept, target=kept, team=kept, key_id=kept, tags={kept: kept})
    choice = Choice(request_id=text, model=text, target=text, team=text, key=text, tag=(text, text))
    assert choice.takes(record)
    assert choice.texts() == [kept] * 7


def test_a_request_without_an_answer_has_no_status_and_no_target() -> None:
    record = replace(FULL, status=None, target=None)
    assert not Choice(status="2xx").takes(record)
    assert not Choice(target="up").takes(record)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2h", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("90d", datetime(2025, 11, 2, 12, tzinfo=UTC)),
        ("2026-01-30", datetime(2026, 1, 30, tzinfo=UTC)),
        ("2026-01-30T10:00:00Z", datetime(2026, 1, 30, 10, tzinfo=UTC)),
        ("2026-01-30T10:00:00+02:00", datetime(2026, 1, 30, 8, tzinfo=UTC)),
        ("1969-12-31", datetime(1970, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", datetime(1970, 1, 1, tzinfo=UTC)),
        ("30000d", datetime(1970, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_a_time_is_a_while_ago_or_a_moment(text: str, moment: datetime) -> None:
    assert parse_time(text, NOW) == moment.timestamp() * 1_000_000


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "2x", "10000-01-01", "999999999999999d", "1000000d"])
def test_anything_else_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time"):
        parse_time(text, NOW)


def test_a_status_is_three_digits_or_a_class() -> None:
    assert [parse_status(text) for text in ("429", "5xx")] == ["429", "5xx"]
    for text in ("42", "9xx", "600", "2x", ""):
        with pytest.raises(ValueError, match="expected a status"):
            parse_status(text)
