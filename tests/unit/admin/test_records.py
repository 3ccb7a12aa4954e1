"""Records and sums by the admin API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from msgspec.structs import fields

from penstock.admin.record_shapes import RecordShape, RecordsShape, UsageShape
from penstock.audit.room import AT_ONCE, WAITING, Room
from penstock.audit.shown import as_object
from penstock.store.usage_statements import NUMBERS, Question
from penstock.times import DAY_US
from tests.support.stored_rows import Chain, record, used
from tests.unit.admin.conftest import TOKEN, VIEWER, Api
from tests.unit.audit.test_shown import BARE, ROW

RECORDS, USAGE = "/admin/v1/records", "/admin/v1/usage"
START = 20_000 * DAY_US


@pytest.fixture
def filled(api: Api) -> Api:
    """Ten requests, an hour apart from midnight on, 4 October 2024."""
    chain = Chain("20260101T000000-0000000a")
    for number in range(10):
        fields: dict[str, Any] = {"key_id": "kA" if number < 4 else "kB", "usage": used(10, 1), "team": "t1"}
        fields |= {"status": 429 if number == 9 else 200, "cost_nanousd": 1_500 if number < 2 else None}
        chain.add(record(number, START + number * 3_600_000_000, tags={"env": "prod"}, **fields), ("192.0.2.7", "x"))
    api.records.ship(chain)
    return api


def numbers(body: Any) -> list[int]:
    return [each["number"] for each in body["items"]]


async def test_records_come_newest_first_and_page_by_page(filled: Api) -> None:
    first = await filled.ask("GET", f"{RECORDS}?limit=4")
    assert (first.status, numbers(first.json), first.json["partial"]) == (200, [9, 8, 7, 6], False)
    second = await filled.ask("GET", f"{RECORDS}?limit=4&cursor={first.json['next']}")
    third = await filled.ask("GET", f"{RECORDS}?limit=4&cursor={second.json['next']}")
    assert (numbers(second.json), numbers(third.json), third.json["next"]) == ([5, 4, 3, 2], [1, 0], None)
    oldest = await filled.ask("GET", f"{RECORDS}?order=oldest&limit=2")
    assert numbers(oldest.json) == [0, 1]
    wrong = await filled.ask("GET", f"{RECORDS}?cursor={oldest.json['next']}")
    assert wrong.faults == [("cursor", "is none that this listing gave; leave it out to begin anew")]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("since=2024-10-04T07:00:00Z&order=oldest", [7, 8, 9]),
        ("until=2024-10-04T02:00:00Z", [1, 0]),
        ("key=kA&until=2024-10-04T02:00:00Z", [1, 0]),
        ("status=4xx", [9]),
        ("request_id=req_3", [3]),
        ("tag=env%3Ddev", []),
        ("tag=env%3Dprod&limit=1", [9]),
        ("outcome=failed", []),
        ("team=t1&model=fast&target=up&limit=1", [9]),
        ("team=nobody", []),
    ],
)
async def test_records_are_narrowed(filled: Api, asked: str, found: list[int]) -> None:
    got = await filled.ask("GET", f"{RECORDS}?{asked}")
    assert numbers(got.json) == found


async def test_a_team_is_meant_by_its_name_too(filled: Api) -> None:
    id = (await filled.ask("POST", "/admin/v1/teams", {"name": "Lab"})).json["id"]
    chain = Chain("20260101T000000-0000000b")
    chain.add(record(77, START, team=id))
    filled.records.ship(chain)
    for name in ("Lab", id):
        assert numbers((await filled.ask("GET", f"{RECORDS}?team={name}")).json) == [77]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ("since=soon", "since"),
        ("until=2024-13-01", "until"),
        ("until=999999999999999d", "until"),
        ("since=999999999999999d", "since"),
        ("status=999", "status"),
        ("tag=env", "tag"),
        ("outcome=well", "outcome"),
        ("order=any", "order"),
        ("limit=1001", "limit"),
        ("cursor=abc", "cursor"),
        ("color=red", "color"),
        ("texts=yes", "texts"),
    ],
)
async def test_what_is_no_condition_is_refused_by_its_name(filled: Api, asked: str, field: str) -> None:
    got = await filled.ask("GET", f"{RECORDS}?{asked}")
    assert got.status == 400
    assert [name for name, _ in got.faults] == [field]


@pytest.mark.parametrize("path", [RECORDS, USAGE])
async def test_a_time_before_all_requests_is_none_of_them_and_one_beyond_all_years_is_refused(
    filled: Api, path: str
) -> None:
    assert (await filled.ask("GET", f"{path}?until=0001-01-01T00:00:00Z")).json["items"] == []
    every = await filled.ask("GET", f"{path}?since=0001-01-01T00:00:00Z&until=9999-12-31T23:59:59Z")
    assert every.json["items"] != []
    for field in ("since", "until"):
        got = await filled.ask("GET", f"{path}?{field}=999999999999999d")
        assert (got.status, [name for name, _ in got.faults]) == (400, [field])


async def test_one_request_is_found_by_its_id(filled: Api) -> None:
    got = await filled.ask("GET", f"{RECORDS}/req_3")
    assert (numbers(got.json), got.json["next"]) == ([3], None)
    assert (await filled.ask("GET", f"{RECORDS}/{quote('a/b', safe='')}")).status == 404


async def test_of_an_id_that_came_often_the_newest_are_shown_and_that_there_are_more(api: Api) -> None:
    chain = Chain("20260101T000000-0000000a")
    for number in range(101):
        chain.add(record(number, START + number, request_id="often"), ("192.0.2.7", "x"))
    api.records.ship(chain)
    got = await api.ask("GET", f"{RECORDS}/often")
    assert (numbers(got.json), got.json["next"], got.json["partial"]) == ([*range(100, 0, -1)], None, True)
    api.records.rows.pop()
    got = await api.ask("GET", f"{RECORDS}/often")
    assert (len(numbers(got.json)), got.json["partial"]) == (100, False)


async def test_that_a_request_is_not_there_is_said_only_after_all_was_looked_at(filled: Api, tmp_path: Path) -> None:
    unseen = tmp_path / "journal" / "unseen"
    unseen.parent.mkdir()
    filled.asked._data_dir = str(tmp_path)
    unseen.symlink_to("unseen")
    got = await filled.ask("GET", f"{RECORDS}/req_77")
    assert (got.status, got.json) == (200, {"items": [], "next": None, "partial": True})
    unseen.unlink()
    assert (await filled.ask("GET", f"{RECORDS}/req_77")).status == 404


async def test_a_viewer_sees_records_without_their_private_part(filled: Api) -> None:
    whole = (await filled.ask("GET", f"{RECORDS}/req_3")).json["items"][0]
    bare = (await filled.ask("GET", f"{RECORDS}/req_3", token=VIEWER)).json["items"][0]
    assert (whole["client"], whole["end_user"]) == ("192.0.2.7", "x")
    assert bare == {name: whole[name] for name in whole if name not in ("client", "end_user")}
    assert (await filled.ask("GET", USAGE, token=VIEWER)).status == 200


async def test_texts_are_shown_to_admins_who_ask_for_them(api: Api) -> None:
    chain = Chain("20260101T000000-0000000c")
    chain.add(record(1, START, request_id="req_1"), ("192.0.2.7", "x", '{"input":"hi"}', None, "Hé", "cut"))
    api.records.ship(chain)
    texts = {"prompt": '{"input":"hi"}', "answer": "Hé", "answer_note": "cut"}
    for path in (f"{RECORDS}/req_1", f"{RECORDS}?texts=true&limit=250"):
        shown = (await api.ask("GET", path)).json["items"][0]
        assert {name: shown[name] for name in shown if name.startswith(("prompt", "answer"))} == texts
        bare = (await api.ask("GET", path, token=VIEWER)).json["items"][0]
        assert not {*texts, "client"} & set(bare)
    listed = (await api.ask("GET", RECORDS)).json["items"][0]
    assert (listed["client"], {*texts} & set(listed)) == ("192.0.2.7", set())
    got = await api.ask("GET", f"{RECORDS}?texts=true&limit=251")
    assert (got.status, got.faults) == (400, [("limit", "with texts at most 250")])


async def test_a_record_is_what_is_described(filled: Api) -> None:
    assert None not in [getattr(ROW.record, each.name) for each in fields(ROW.record)], "a row with every field"
    for row in (ROW, BARE):
        shown = as_object(row)
        described = msgspec.json.encode(msgspec.convert(shown, RecordShape))
        assert msgspec.json.decode(described) == msgspec.json.decode(msgspec.json.encode(shown))
    msgspec.convert((await filled.ask("GET", RECORDS)).json, RecordsShape)


async def test_while_the_store_is_away_nothing_is_shown(filled: Api) -> None:
    filled.records.away = True
    for path in (RECORDS, USAGE, f"{RECORDS}/req_1"):
        assert (await filled.ask("GET", path)).status == 503


async def test_few_are_answered_at_a_time_and_keys_are_administered_meanwhile(filled: Api) -> None:
    filled.records.stuck = asyncio.Event()
    asked = [asyncio.ensure_future(filled.ask("GET", f"{RECORDS}?limit=1")) for _ in range(AT_ONCE + WAITING)]
    await _until(lambda: filled.records.asked.count("page") == AT_ONCE)
    for path in (RECORDS, USAGE, f"{RECORDS}/req_1"):
        refused = await filled.ask("GET", path)
        assert (refused.status, refused.json["code"]) == (503, "overloaded")
        assert int(refused.headers["retry-after"]) > 0
    assert (await filled.ask("GET", "/admin/v1/keys")).status == 200
    assert filled.records.asked.count("page") == AT_ONCE
    filled.records.stuck.set()
    assert {each.status for each in await asyncio.gather(*asked)} == {200}
    assert (await filled.ask("GET", RECORDS)).status == 200


async def test_an_answer_has_a_time_waiting_included(filled: Api) -> None:
    filled.records.stuck = asyncio.Event()
    filled.asked.room = Room(0.05, at_once=1)
    told = await asyncio.gather(*(filled.ask("GET", RECORDS) for _ in range(3)))
    assert {(each.status, each.json["code"]) for each in told} == {(503, "store_unavailable")}
    assert "within 0.05 s" in told[0].json["detail"]
    filled.records.stuck.set()
    assert (await filled.ask("GET", RECORDS)).status == 200


async def test_texts_that_are_not_shown_are_not_asked_for(filled: Api) -> None:
    path = f"{RECORDS}/req_1"
    for token, whole in ((TOKEN, True), (VIEWER, False)):
        filled.records.whole.clear()
        assert (await filled.ask("GET", path, token=token)).status == 200
        assert (await filled.ask("GET", f"{RECORDS}?texts=true", token=token)).status == 200
        assert (await filled.ask("GET", RECORDS, token=token)).status == 200
        assert filled.records.whole == [whole, whole, False]


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110 (what is waited for tells nobody)
            await asyncio.sleep(0)


async def test_sums_of_whole_hours_by_what_was_asked_for(filled: Api) -> None:
    got = await filled.ask("GET", f"{USAGE}?by=key,status&since=2024-10-04T00:30:00Z&until=2024-10-04T09:00:01Z")
    told = msgspec.convert(got.json, UsageShape)
    assert (told.since, told.until, told.per) == ("2024-10-04T00:00:00Z", "2024-10-04T10:00:00Z", None)
    assert [(each.at, each.by, each.requests, each.cost_usd, each.unpriced) for each in told.items] == [
        (None, {"key": "kA", "status": 200}, 4, "0.000003", 2),
        (None, {"key": "kB", "status": 200}, 5, "0", 5),
        (None, {"key": "kB", "status": 429}, 1, "0", 1),
    ]
    assert set(NUMBERS) <= set(got.json["items"][0])
    per = await filled.ask("GET", f"{USAGE}?per=day&since=2024-10-01&tag=env%3Dprod&status=2xx&by=tag:env")
    assert [(each["at"], each["by"], each["requests"]) for each in per.json["items"]] == [
        ("2024-10-04T00:00:00Z", {"tag:env": "prod"}, 9)
    ]
    month = await filled.ask("GET", USAGE)
    assert month.json["items"] == [], "of this month, unless told otherwise"
    assert month.json["since"].endswith("-01T00:00:00Z")
    before = (await filled.ask("GET", f"{USAGE}?until=2024-10-04T05:00:00Z")).json
    assert (before["since"], before["until"]) == ("2024-10-01T00:00:00Z", "2024-10-04T05:00:00Z")
    assert before["items"][0]["requests"] == 5
    whole = (await filled.ask("GET", f"{USAGE}?until=2024-11-01")).json
    assert (whole["since"], whole["until"]) == ("2024-10-01T00:00:00Z", "2024-11-01T00:00:00Z")
    to_come = (await filled.ask("GET", f"{USAGE}?until=9999-12-31")).json
    assert to_come["since"] == month.json["since"], "there is nothing in later months"
    backwards = await filled.ask("GET", f"{USAGE}?since=2024-10-04&until=2024-10-01")
    assert (backwards.status, backwards.json["items"]) == (200, [])


async def test_texts_longer_than_records_have_them_are_found_by_their_beginning(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Chain("20260101T000000-0000000a")
    cut, whole = "é" * 128, quote("é" * 256)
    chain.add(record(1, START, request_id=cut, model=cut, tags={"project": cut}))
    api.records.ship(chain)
    sums, questions = api.records.sums, list[Question]()

    async def ask(wanted: Question, *more: Any) -> Any:
        questions.append(wanted)
        return await sums(wanted, *more)

    monkeypatch.setattr(api.records, "sums", ask)
    for asked in (f"tag=project={whole}", f"model={whole}"):
        assert numbers((await api.ask("GET", f"{RECORDS}?{asked}")).json) == [1]
        assert (await api.ask("GET", f"{USAGE}?since=2024-10-01&{asked}")).json["items"] != []
    assert [(each.tag, each.model) for each in questions] == [(("project", cut), None), (None, cut)]
    assert numbers((await api.ask("GET", f"{RECORDS}/{whole}")).json) == [1]


async def test_a_condition_of_up_to_1024_characters_is_found_by_what_records_have_of_it(api: Api) -> None:
    conditions = {"key": "key_id", "team": "team", "model": "model", "target": "target", "request_id": "request_id"}
    chain, long = Chain("20260101T000000-0000000a"), "a/" + "b" * 1_022
    chain.add(record(1, START, **dict.fromkeys(conditions.values(), long[:256])))
    api.records.ship(chain)
    for name in conditions:
        assert numbers((await api.ask("GET", f"{RECORDS}?{name}={long}")).json) == [1], name
        got = await api.ask("GET", f"{RECORDS}?{name}={long}b")
        assert (got.status, [field for field, _ in got.faults]) == (400, [name])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("by=kye", "did you mean 'key'?"),
        ("by=tag:", "expected key, team, model, target, status or tag:NAME"),
        ("by=key,key", "none of them twice"),
        ("by=tag:a,tag:b,tag:c,tag:d,tag:e,tag:f,tag:g", "at most 6"),
        ("per=year", "expected one of hour, day, month"),
    ],
)
async def test_what_is_no_sum_is_refused(filled: Api, asked: str, said: str) -> None:
    got = await filled.ask("GET", f"{USAGE}?{asked}")
    assert got.status == 400
    assert said in got.faults[0][1]


async def test_too_many_sums_are_refused(filled: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.audit.sums.MOST", 2)
    got = await filled.ask("GET", f"{USAGE}?per=hour&since=2024-10-04")
    assert (got.status, got.faults[0][0]) == (400, "by")
