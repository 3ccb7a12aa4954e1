"""Admin requests: who calls, path, method, types, and how each failure is answered."""

from __future__ import annotations

import pytest

from penstock.admin.gate import Gate
from penstock.admin.message import Answer
from penstock.admin.route import Call, Route, Table
from penstock.admin.router import Router
from penstock.keys.model import Key
from penstock.observe.logs import Log
from tests.unit.admin.conftest import TOKEN, VIEWER, Answered, Api

KEYS = "/admin/v1/keys"


async def test_status_is_told_to_whoever_has_the_token(api: Api) -> None:
    got = await api.ask("GET", "/admin/v1/status")
    assert (got.status, got.json) == (200, {"version": "1"})
    assert got.headers == {"content-type": "application/json", "cache-control": "no-store"}


@pytest.mark.parametrize(
    ("token", "code"), [(None, "missing_api_key"), ("", "invalid_api_key"), (TOKEN + "x", "invalid_api_key")]
)
async def test_nothing_is_told_without_the_token(api: Api, token: str | None, code: str) -> None:
    for path in ("/admin/v1/status", "/admin/v1/nothing", KEYS):
        got = await api.ask("GET", path, token=token)
        assert (got.status, got.json["code"], got.headers["x-penstock-error"]) == (401, code, code)
        assert got.headers["content-type"] == "application/problem+json"
        assert "www-authenticate" in got.headers
        assert TOKEN not in got.text


async def test_a_reload_passes_its_warnings_on(api: Api) -> None:
    got = await api.ask("POST", "/admin/v1/reload")
    assert (got.status, api.process.reloads) == (200, 1)
    assert got.json == {"reloaded": True, "warnings": ["listen changes with the next restart"]}


async def test_a_refused_reload_lists_every_error_with_its_place(api: Api) -> None:
    api.process.wrong = True
    got = await api.ask("POST", "/admin/v1/reload")
    assert (got.status, got.headers["x-penstock-error"]) == (422, "invalid_configuration")
    place = {"file": "f.yaml", "line": 3, "column": 4, "field": "listen[0]", "message": "is bad", "hint": "do better"}
    assert got.json["errors"] == [place]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/admin/v1/status", "GET, HEAD"),
        ("PUT", KEYS, "GET, HEAD, POST"),
        ("GET", f"{KEYS}/import", "POST"),
        ("POST", f"{KEYS}/k1", "DELETE, GET, HEAD, PATCH"),
        ("GET", f"{KEYS}/k1/rotate", "POST"),
    ],
)
async def test_another_method_is_told_which_ones_work(api: Api, method: str, path: str, allow: str) -> None:
    got = await api.ask(method, path)
    assert (got.status, got.headers["allow"], got.json["code"]) == (405, allow, "method_not_allowed")


async def test_a_head_is_answered_as_a_get(api: Api) -> None:
    assert (await api.ask("HEAD", "/admin/v1/status")).status == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/admin/v1/nothing", "/admin/v1", f"{KEYS}/k1/nothing", f"{KEYS}/k1/rotate/x", f"{KEYS}/{{id}}/x"),
        *(f"{KEYS}/", f"{KEYS}//rotate", "/admin/v1/teams/", f"{KEYS}/k1/"),
    ],
)
async def test_another_path_is_told_which_ones_there_are(api: Api, path: str) -> None:
    got = await api.ask("GET", path)
    assert (got.status, got.json["code"]) == (404, "path_not_found")
    assert "/admin/v1/keys/{id}/rotate" in got.json["paths"]


async def test_a_viewer_may_read_and_nothing_else(api: Api) -> None:
    assert (await api.ask("GET", KEYS, token=VIEWER)).status == 200
    assert (await api.ask("HEAD", "/admin/v1/status", token=VIEWER)).status == 200
    for method, path in (("POST", KEYS), ("DELETE", f"{KEYS}/k1"), ("PATCH", f"{KEYS}/k1"), ("POST", f"{KEYS}/import")):
        got = await api.ask(method, path, {}, token=VIEWER)
        assert (got.status, got.json["code"]) == (403, "forbidden")
    assert (await api.ask("POST", "/admin/v1/reload", token=VIEWER)).status == 403
    assert (api.process.reloads, await api.store.changes(None, None, 9)) == (0, [])


async def test_everything_wrong_in_query_and_body_is_told_at_once(api: Api) -> None:
    body = {"nam": "x", "models": [1, "a", {}], "tags": {"a": 1}, "team": 7}
    got = await api.ask("POST", f"{KEYS}?dry=1", body)
    assert (got.status, got.json["code"]) == (400, "invalid_request")
    assert got.faults == [
        ("dry", "unknown parameter"),
        ("nam", "there is no such field (did you mean 'name'?)"),
        ("name", "is missing"),
        ("team", "expected text or null, got a whole number"),
        ("models[0]", "expected text, got a whole number"),
        ("models[2]", "expected text, got an object"),
        ("tags.a", "expected text, got a whole number"),
    ]


async def test_wrong_types_and_wrong_values_are_told_together(api: Api) -> None:
    body = {"name": "", "team": 7, "models": ["nothing"], "networks": ["10.0.0.1/8"], "expires": "2001-01-01T00:00:00Z"}
    got = await api.ask("POST", KEYS, body)
    assert [field for field, _ in got.faults] == ["team", "name", "models[0]", "networks[0]", "expires"]
    assert not api.store.rows(Key)


async def test_every_wrong_parameter_is_told(api: Api) -> None:
    got = await api.ask("GET", f"{KEYS}?limit=0&limt=3&state=on&name=&owner=a&owner=b")
    assert got.faults == [
        ("limt", "unknown parameter (did you mean 'limit'?)"),
        ("state", "expected one of active, disabled, not 'on'"),
        ("owner", "stands twice"),
        ("name", "expected text of length >= 1"),
        ("limit", "expected a whole number >= 1"),
    ]
    for limit in ("1001", "-1", "1e3", "9" * 30, "", "%30x"):
        assert (await api.ask("GET", f"{KEYS}?limit={limit}")).status == 400, limit
    assert (await api.ask("GET", f"/admin/v1/status?{'a=1&' * 40}")).status == 400


@pytest.mark.parametrize(
    ("target", "fields"),
    [
        (f"{KEYS}?tag=foo&team=nope&cursor=zzz", ["tag", "team", "cursor"]),
        (f"{KEYS}?limit=0&x=1&tag=foo&team=nope", ["x", "limit", "tag", "team"]),
        (f"{KEYS}?tag=&team=nope", ["tag", "team"]),
        ("/admin/v1/teams?limit=0&tag=foo&cursor=zzz", ["limit", "tag", "cursor"]),
        ("/admin/v1/tokens?limit=0&cursor=zzz", ["limit", "cursor"]),
        ("/admin/v1/changes?limit=0&cursor=zzz", ["limit", "cursor"]),
    ],
)
async def test_what_a_listing_refuses_is_told_at_once(api: Api, target: str, fields: list[str]) -> None:
    got = await api.ask("GET", target)
    assert (got.status, [field for field, _ in got.faults]) == (400, fields)


async def test_what_a_rotation_refuses_is_told_at_once(api: Api) -> None:
    id = (await api.ask("POST", KEYS, {"name": "a"})).json["id"]
    for overlap in ("500d", "soon"):
        got = await api.ask("POST", f"{KEYS}/{id}/rotate", {"overlap": overlap, "x": 1})
        assert [field for field, _ in got.faults] == ["x", "overlap"]
    assert [field for field, _ in (await api.ask("POST", f"{KEYS}/{id}/rotate", {"overlap": 7})).faults] == ["overlap"]


@pytest.mark.parametrize("raw", [b"{", b"nul", b'{"name": "\\ud800"}', b"\xff", b"[" * 5000])
async def test_a_body_that_is_no_json_is_told_so(api: Api, raw: bytes) -> None:
    got = await api.ask("POST", KEYS, raw=raw)
    assert got.status == 400
    assert got.json["code"] in ("invalid_json", "invalid_request")


@pytest.mark.parametrize("raw", [b"[]", b"7", b"null", b'"x"'])
async def test_a_body_that_is_no_object_is_told_so(api: Api, raw: bytes) -> None:
    got = await api.ask("POST", KEYS, raw=raw)
    assert (got.status, got.json["code"]) == (400, "invalid_request")
    assert "object" in got.json["detail"]


async def test_a_body_of_another_kind_is_415(api: Api) -> None:
    for kind in ("application/x-www-form-urlencoded", "text/plain", "application/jsonp", "application/xml"):
        got = await api.ask("POST", KEYS, {"name": "a"}, kind=kind)
        assert (got.status, got.json["code"]) == (415, "unsupported_media_type"), kind
    for kind in ("application/json; charset=utf-8", "Application/JSON", "application/merge-patch+json", ""):
        assert (await api.ask("POST", KEYS, {"name": "a"}, kind=kind)).status == 201, kind


async def test_a_body_where_none_belongs_is_refused_but_for_a_get(api: Api) -> None:
    assert (await api.ask("POST", "/admin/v1/reload", {})).faults == [("", "POST /admin/v1/reload takes no body")]
    assert (await api.ask("GET", "/admin/v1/status", {})).status == 200
    assert api.process.reloads == 0


async def test_a_store_that_is_away_is_503_with_the_time_to_try_again(api: Api) -> None:
    api.store.away = True
    for method, path, body in (("GET", KEYS, None), ("GET", f"{KEYS}/k1", None), ("POST", KEYS, {"name": "a"})):
        got = await api.ask(method, path, body)
        assert (got.status, got.json["code"]) == (503, "store_unavailable"), path
        assert int(got.headers["retry-after"]) > 0
    assert (await api.ask("GET", "/admin/v1/status")).status == 200


async def test_a_change_that_is_in_doubt_is_to_be_looked_for_and_not_to_be_repeated(api: Api) -> None:
    made = await api.ask("POST", KEYS, {"name": "one"})
    path = f"{KEYS}/{made.json['id']}"
    api.store.doubtful = True
    for method, target, body in (
        ("POST", KEYS, {"name": "two"}),
        ("PATCH", path, {"name": "three"}),
        ("POST", f"{path}/rotate", {}),
        ("DELETE", path, None),
    ):
        got = await api.ask(method, target, body)
        assert (got.status, got.json["code"], got.json["in_doubt"]) == (503, "store_unavailable", True), target
        assert "look first" in got.json["detail"]
        assert "retry-after" not in got.headers
    assert [item["name"] for item in (await api.ask("GET", KEYS)).json["items"]] == ["two"]  # all of it was done


async def test_too_much_hashing_at_once_is_503_too(api: Api) -> None:
    api.hasher.close()
    got = await api.ask("POST", KEYS, {"name": "a"})
    assert (got.status, got.json["code"], got.headers["retry-after"]) == (503, "overloaded", "2")


async def test_a_handler_that_fails_is_an_answer_and_a_log_line(api: Api) -> None:
    async def fail(_: Call[None, None]) -> Answer:
        raise KeyError("lost")

    lines: list[bytes] = []
    route = Route(method="GET", path="/x", handler=fail, summary="", answers=None)
    api.gate = Gate(api.callers, Router(Table([route]), Log(write=lines.append)))
    got = await api.ask("GET", "/x")
    assert (got.status, got.json["code"]) == (500, "internal")
    assert "lost" not in got.text
    assert b"KeyError('lost')" in lines[0]


async def test_a_payload_that_is_no_request_is_answered_too(api: Api) -> None:
    assert Answered(await api.gate(b"not json\n")).status == 400
