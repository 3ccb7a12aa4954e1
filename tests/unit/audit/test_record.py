"""Records as native writes them, as an older release wrote them, and as a newer one will."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from penstock.audit.record import (
    HEAD_BYTES,
    Attempt,
    Phases,
    Private,
    Record,
    Stream,
    Usage,
    interrupted,
    read_begin,
    read_private,
    read_private_head,
    read_record,
)

DATA = Path(__file__).parent.parent.parent / "data"

FULL = Record(
    form=1,
    number=7,
    count=1,
    request_id="req_1",
    upstream_request_id="up_1",
    trace_id="0af7651916cd43dd8448eb211c80319c",
    started_us=1_795_446_061_250_000,
    key_id="abcdefghijkl",
    team="lab",
    dialect="openai",
    api="chat",
    method="POST",
    path="/v1/chat/completions",
    model="fast",
    target="up/real",
    status=200,
    outcome="complete",
    error="upstream_cut",
    attempts=(
        Attempt("first", None, None, "upstream_connect", 0, 9),
        Attempt("second", "x", None, "rate_limit_requests", 1, 0),
        Attempt("up", "real", 200, None, 0, 60_000),
    ),
    usage=Usage(1, 2, 3, 4, 5, 6, 7),
    usage_source="counted",
    cost_nanousd=10**12,
    charged_tokens=3,
    charged_nanousd=4,
    phases=Phases(1, 200, 3, 4, 50_000, 5_000_000_000, 8, 208),
    admitted_boottime_us=70_000,
    queued_us=300,
    overhead_us=66,
    stream=Stream(50_100, 12, 900),
    received_bytes=100,
    sent_bytes=70_000,
    tags={"app": "", "env": "dev", "unit": "7"},
    limits=("key:requests", "key:budget", "global:requests", "global:budget"),
    counted=((0, 17, None), (2, 300, "f*")),
    unpriced=1,
)

FIRST = msgspec.structs.replace(
    FULL,
    usage_source="provider",
    phases=Phases(1, 200, 3, 4, 50_000, 5_000_000_000, 8),
    tags=None,
    limits=None,
    counted=None,
    unpriced=None,
)
"""What the first release wrote, in `record_1.msgpack`."""


def test_what_native_writes_is_read_and_what_it_wrote_first() -> None:
    assert read_record((DATA / "record_35.msgpack").read_bytes()) == FULL
    assert read_record((DATA / "record_1.msgpack").read_bytes()) == FIRST
    first, now = (read_begin((DATA / f"begin_{which}.msgpack").read_bytes()) for which in (1, 11))
    assert first == msgspec.structs.replace(now, tags=None)
    assert read_private((DATA / "private_1.msgpack").read_bytes()) == Private("192.0.2.7", "somebody")
    texts = Private("192.0.2.7", "somebody", '{"input":"hi"}', None, "Hé", "cut")
    assert read_private((DATA / "private_6.msgpack").read_bytes()) == texts


def test_what_an_older_release_wrote_is_read_and_what_it_did_not_know_is_not_invented() -> None:
    places = msgspec.msgpack.decode((DATA / "record_35.msgpack").read_bytes())
    for known in range(18, len(places)):
        record = read_record(msgspec.msgpack.encode(places[:known]))
        assert (record.number, record.outcome) == (7, "complete")
        names = record.__struct_fields__
        assert [getattr(record, name) for name in names[:known]] == [getattr(FULL, name) for name in names[:known]]
        assert all(getattr(record, name) in (None, (), 0) for name in names[known:])
    assert read_private(msgspec.msgpack.encode(["192.0.2.7"])) == Private("192.0.2.7")


def test_what_a_newer_release_adds_is_passed_over() -> None:
    places = msgspec.msgpack.decode((DATA / "record_35.msgpack").read_bytes())
    assert read_record(msgspec.msgpack.encode([*places, {"new": 1}, "more"])) == FULL


def test_of_a_private_part_that_is_cut_behind_them_the_first_places_are_read() -> None:
    for client, end_user in (("192.0.2.7", "somebody"), (None, "é" * 100), ("2001:db8::1", None), (None, "x" * 256)):
        for length in (0, 10, 70_000):
            places = [client, end_user, "p" * length, None, "a" * length, "cut"]
            whole = msgspec.msgpack.encode(places)
            assert read_private_head(whole) == read_private_head(whole[: HEAD_BYTES - 16]) == Private(client, end_user)
        assert read_private_head(msgspec.msgpack.encode([client, end_user])) == Private(client, end_user)
    # Native writes the length of a longer text in four bytes.
    assert read_private_head(b"\x96\xc0\xdb\x00\x00\x01\x00" + b"x" * 300) == Private(None, "x" * 256)
    assert read_private_head((DATA / "private_6.msgpack").read_bytes()) == Private("192.0.2.7", "somebody")


def test_something_else_is_refused() -> None:
    for wrong in (b"", b"\x90", msgspec.msgpack.encode({"form": 1}), b"\xff" * 40):
        with pytest.raises(msgspec.DecodeError):
            read_record(wrong)


def test_of_a_stream_whose_process_ended_what_is_known_is_told() -> None:
    record = interrupted(read_begin((DATA / "begin_11.msgpack").read_bytes()))
    assert (record.number, record.outcome, record.status, record.target) == (7, "interrupted", 200, "up/real")
    assert record.tags == FULL.tags
    assert (record.usage, record.phases, record.path) == (None, None, None)
