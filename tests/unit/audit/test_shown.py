"""Records for programs and people."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from penstock.audit.journals import Row
from penstock.audit.record import Private
from penstock.audit.shown import ALWAYS, CSV, TITLES, as_cells, as_line, as_object

from .test_record import FULL

ROW = Row("one", 3, FULL, Private("192.0.2.7", "somebody"))
BARE = Row(
    "one",
    4,
    replace(FULL, request_id=None, key_id=None, model="=1+1", target=None, status=None, usage=None, phases=None),
    None,
)


def test_an_object_has_what_is_known_and_the_named_fields_always() -> None:
    shown = as_object(ROW)
    assert msgspec.json.decode(msgspec.json.encode(shown)) == shown
    assert shown["started"] == "2026-11-23T15:01:01.250000Z"
    assert ROW.record.counted is not None
    assert "counted" not in shown
    assert shown["usage"]["reasoning_tokens"] == 5
    assert shown["attempts"][0] == {"provider": "first", "error": "upstream_connect", "skipped": 0, "us": 9}
    assert (shown["tags"], shown["limits"][:2]) == (
        {"app": "", "env": "dev", "unit": "7"},
        ["key:requests", "key:budget"],
    )
    assert (shown["client"], shown["end_user"], shown["instance"], shown["sequence"]) == (
        "192.0.2.7",
        "somebody",
        "one",
        3,
    )
    assert not {"client", "end_user"} & set(as_object(ROW, private=False))
    bare = as_object(BARE)
    assert [bare[name] for name in ("request_id", "key_id", "target", "status", "usage")] == [None] * 5
    assert set(ALWAYS) <= set(bare)
    assert not {"client", "end_user", "phases"} & set(bare)


def test_a_line_of_csv_has_every_column_and_no_formula() -> None:
    line = dict(zip(CSV, as_cells(as_object(ROW)), strict=True))
    assert (line["prompt_tokens"], line["total_us"], line["frames"]) == ("1", "5000000000", "12")
    assert (line["attempts"], line["client"], line["sequence"]) == ("3", "192.0.2.7", "3")
    assert (line["tags"], line["limits"]) == (
        "app= env=dev unit=7",
        "key:requests key:budget global:requests global:budget",
    )
    bare = dict(zip(CSV, as_cells(as_object(BARE)), strict=True))
    assert (bare["model"], bare["status"], bare["prompt_tokens"], bare["client"]) == ("'=1+1", "", "", "")


def test_a_row_of_the_table_fits_its_titles() -> None:
    assert len(as_line(as_object(ROW))) == len(as_line(as_object(BARE))) == len(TITLES)
    assert as_line(as_object(ROW))[4:8] == ("200", "upstream_cut", "1+2", "5000000.0")
    assert as_line(as_object(Row("one", 5, replace(FULL, count=9), None)))[4] == "200 x9"
