"""Who may administer, what is kept of what they did, and that text means nothing but itself."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.gateway import Gateway
from tests.support.office import KEYS, Made, Office, verdict
from tests.support.raw import exchange, get, request

OPS, WATCHER = "configured-token-of-operations-1", "configured-token-of-a-watcher-22"
TOKENS = [{"name": "ops", "role": "admin", "token": OPS}, {"name": "watcher", "token": WATCHER}]
SHAPES = [
    "' OR '1'='1",
    "'; DROP TABLE penstock_keys; --",
    '"; DELETE FROM penstock_keys; --',
    "$1",
    "%s%n",
    "%",
    "_",
    "\\",
    "../../admin.token",
    "${env:HOME}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "=HYPERLINK(1)",
    "a\r\nx-injected: 1",
    "\u202e\u0000null",
    "😀" * 20,
    "ﬁ İ ß",
]


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return {"admin": {"listen": "127.0.0.1:0", "tokens": TOKENS}}


@pytest.fixture(scope="module")
def operations(gateway: Gateway) -> Gateway:
    """The gateway, whose log may hold none of the configured tokens."""
    gateway.secrets.update({OPS, WATCHER})
    return gateway


def mutating(gateway: Gateway) -> list[tuple[str, str]]:
    """Every path of the document that changes something, with an id that is nobody's."""
    document = gateway.ask("GET", "/admin/v1/openapi.json").json()
    paths: dict[str, dict[str, Any]] = document["paths"]
    found = [(method.upper(), path.replace("{id}", "0" * 12)) for path, methods in paths.items() for method in methods]
    return [(method, path) for method, path in found if method in ("POST", "PATCH", "PUT", "DELETE")]


def changes_of(office: Office, subject: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = office.call("GET", f"/admin/v1/changes?subject={subject}&limit=100")["items"]
    return listed


def test_a_viewer_of_the_configuration_reads_everything_and_changes_nothing(
    operations: Gateway, office: Office
) -> None:
    key = office.make()
    for path in (
        KEYS,
        f"{KEYS}/{key.id}",
        "/admin/v1/teams",
        "/admin/v1/tokens",
        "/admin/v1/changes",
        "/admin/v1/status",
    ):
        assert operations.ask("GET", path, token=WATCHER).status == 200, path
    tried = mutating(operations)
    assert len(tried) >= 12
    for method, path in tried:
        refused = operations.ask(method, path, {"name": "x"} if method != "DELETE" else None, token=WATCHER)
        assert (refused.status, refused.json()["code"]) == (403, "forbidden"), (method, path)
    assert verdict(operations, key) == "ok"


def test_an_admin_of_the_configuration_is_named_in_the_log_of_changes(operations: Gateway, office: Office) -> None:
    made = operations.ask("POST", KEYS, {"name": "by-ops"}, token=OPS)
    assert made.status == 201
    office.note(made.json()["key"])
    (change,) = changes_of(office, made.json()["id"])
    assert (change["actor"], change["action"]) == ("config:ops", "key.create")


@pytest.mark.parametrize("token", ["", "x", OPS[:-1], OPS + "1", "Bearer", WATCHER.upper(), "sk-pen-"])
def test_nobody_else_gets_in(operations: Gateway, token: str) -> None:
    headers = {"authorization": f"Bearer {token}", "connection": "close"}
    for path in (KEYS, "/admin/v1/openapi.json", "/admin/v1/nothing"):
        got = exchange(operations.admin[0], request("GET", path, headers=headers), "GET")
        assert got.status == 401, path
        assert (got.header("www-authenticate") or "").startswith("Bearer")


def test_a_key_is_no_admin_token_and_an_admin_token_no_key(operations: Gateway, office: Office) -> None:
    key = office.make()
    assert operations.ask("GET", KEYS, token=key.text).status == 401
    for token in (OPS, operations.token()):
        got = get(operations.address, "/v1/models", {"authorization": f"Bearer {token}"})
        assert (got.status, got.error_code) == (401, "invalid_api_key")


def test_the_log_of_changes_says_who_what_before_and_after_and_no_secret(operations: Gateway, office: Office) -> None:
    key = office.make("first", owner="ann", models=["m"])
    office.change(key, name="second", models=None)
    second = office.rotate(key, "1h")
    office.disable(key)
    office.enable(key)
    office.delete(key)
    changes = changes_of(office, key.id)[::-1]
    actions = [change["action"].removeprefix("key.") for change in changes]
    assert actions == ["create", "update", "rotate", "disable", "enable", "delete"]
    assert {change["actor"] for change in changes} == {"admin.token"}
    assert changes[0]["before"] is None
    assert changes[-1]["after"] is None
    for earlier, later in pairwise(changes):
        assert earlier["after"] == later["before"]
        assert earlier["version"] < later["version"]
        assert earlier["at"] <= later["at"]
    assert (changes[1]["before"]["name"], changes[1]["after"]["name"]) == ("first", "second")
    assert (changes[1]["before"]["models"], changes[1]["after"]["models"]) == (["m"], None)
    text = json.dumps(changes)
    for secret in (key.text, second.text, key.text.rsplit("-", 1)[-1], "argon2", "sha256:"):
        assert secret not in text


def test_a_change_that_changes_nothing_is_not_recorded(operations: Gateway, office: Office) -> None:
    key = office.make("same")
    office.change(key, name="same")
    office.enable(key)
    assert len(changes_of(office, key.id)) == 1


def test_a_team_and_a_token_leave_their_traces_too(operations: Gateway, office: Office) -> None:
    team = office.call("POST", "/admin/v1/teams", {"name": "traced"}, 201)
    office.call("PATCH", f"/admin/v1/teams/{team['id']}", {"models": ["m"]})
    office.call("DELETE", f"/admin/v1/teams/{team['id']}", status=204)
    token = office.call("POST", "/admin/v1/tokens", {"name": "traced", "role": "viewer"}, 201)
    office.note(token["token"])
    office.call("DELETE", f"/admin/v1/tokens/{token['id']}", status=204)
    assert [each["action"] for each in changes_of(office, team["id"])] == ["team.delete", "team.update", "team.create"]
    traces = changes_of(office, token["id"])
    assert [each["action"] for each in traces] == ["token.delete", "token.create"]
    assert token["token"] not in json.dumps(traces)
    assert operations.ask("GET", KEYS, token=token["token"]).status == 401


@pytest.mark.parametrize("shape", SHAPES)
def test_text_means_nothing_but_itself(operations: Gateway, office: Office, shape: str) -> None:
    witness = office.make("witness")
    wish = {"name": shape, "owner": shape, "tags": {"note": shape}}
    made = operations.ask("POST", KEYS, wish)
    if made.status == 400:  # line breaks and the like are refused with the field that holds them
        assert not shape.isprintable()
        assert {each["field"].split(".")[0] for each in made.json()["errors"]} <= {"name", "owner", "tags"}
    else:
        assert made.status == 201, made.body
        key = Made(made.json()["id"], made.json()["key"])
        office.note(key.text)
        shown = office.show(key)
        assert (shown["name"], shown["owner"], shown["tags"]) == (shape, shape, {"note": shape})
        for field in ("name", "owner"):
            found = office.call("GET", f"{KEYS}?{field}={quote(shape, safe='')}&limit=1000")["items"]
            assert key.id in {each["id"] for each in found}
            assert witness.id not in {each["id"] for each in found}
        assert verdict(operations, key) == "ok"
        office.delete(key)
    for path in (f"{KEYS}/{quote(shape, safe='')}", f"/admin/v1/teams/{quote(shape, safe='')}"):
        assert operations.ask("GET", path).status in (400, 404), path
    for query in ("team", "tag", "cursor", "state", "subject"):
        place = "/admin/v1/changes" if query == "subject" else KEYS
        got = operations.ask("GET", f"{place}?{query}={quote(shape, safe='')}")
        assert got.status in (200, 400), (query, got.body)
        assert not (got.status == 200 and query != "subject" and got.json()["items"])
    lists = operations.ask("POST", KEYS, {"name": "x", "models": [shape], "networks": [shape], "team": shape})
    assert lists.status == 400, lists.body
    assert verdict(operations, witness) == "ok"


def test_a_listing_goes_through_all_keys_once_piece_by_piece(operations: Gateway, office: Office) -> None:
    made = {office.make(f"page-{number}", owner="pager").id for number in range(7)}
    seen: list[str] = []
    cursor = ""
    while True:
        piece = office.call("GET", f"{KEYS}?owner=pager&limit=3{cursor}")
        seen += [key["id"] for key in piece["items"]]
        if piece["next"] is None:
            break
        cursor = f"&cursor={quote(piece['next'])}"
    assert sorted(seen) == sorted(made)


def test_commands_show_tables_to_people_and_json_to_programs(operations: Gateway, office: Office) -> None:
    key = office.make("shown-to-people", owner="ann", models=["m"])
    table = office.command("keys", "list", "--owner", "ann")
    assert "shown-to-people" in table.stdout
    assert table.stdout.splitlines()[0].split()[:2] == ["ID", "NAME"]
    (listed,) = [each for each in json.loads(office.command("keys", "list", "--json").stdout) if each["id"] == key.id]
    assert listed["models"] == ["m"]
    shown = office.command("keys", "show", key.id)
    assert "from the key" in shown.stdout
    for output in (table.stdout, shown.stdout, json.dumps(listed)):
        assert "argon2" not in output
    missing = office.command("keys", "show", "0" * 12)
    assert missing.returncode == 1
    assert "Traceback" not in missing.stderr
    wrong = office.command("keys", "create", "--name", "x", "--model", "nothing-like-it", "--network", "300.0.0.0/8")
    assert wrong.returncode == 2
    assert len(wrong.stderr.strip().splitlines()) == 2


def test_a_reload_takes_new_tokens_and_drops_old_ones(operations: Gateway) -> None:
    new = "configured-token-after-the-reload"
    operations.secrets.add(new)
    assert operations.ask("GET", KEYS, token=OPS).status == 200
    operations.write_config(admin={"listen": "127.0.0.1:0", "tokens": [{"name": "new", "role": "admin", "token": new}]})
    try:
        assert operations.ask("POST", "/admin/v1/reload").status == 200
        assert operations.ask("GET", KEYS, token=new).status == 200
        assert operations.ask("GET", KEYS, token=OPS).status == 401
    finally:
        operations.write_config(admin={"listen": "127.0.0.1:0", "tokens": TOKENS})
        assert operations.ask("POST", "/admin/v1/reload").status == 200
