"""What each path does with the ledger and the store."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from penstock.admin.shapes import ChangeShape, IssuedKey, IssuedTokenShape, KeyShape, Listing, TeamShape
from penstock.keys.model import Change, Key
from penstock.store.interface import StoreAwayError
from tests.unit.admin.conftest import Api

KEYS, TEAMS, TOKENS = "/admin/v1/keys", "/admin/v1/teams", "/admin/v1/tokens"


def strict(value: Any, want: Any) -> Any:
    """Reads an answer as its documented type; every field is there."""
    return msgspec.convert(value, want)


async def last_changes(api: Api, count: int) -> Sequence[Change]:
    return await api.store.changes(None, None, count)


async def made(api: Api, **wish: Any) -> str:
    got = await api.ask("POST", KEYS, {"name": "k"} | wish)
    assert got.status == 201, got
    return str(got.json["id"])


async def test_a_key_is_made_with_its_secret_shown_this_once(api: Api) -> None:
    got = await api.ask("POST", KEYS, {"name": "app", "models": ["fast"], "tags": {"env": "prod"}})
    issued = strict(got.json, IssuedKey)
    assert (got.status, got.headers["location"]) == (201, f"{KEYS}/{issued.id}")
    assert issued.key.startswith("sk-pen-")
    shown = await api.ask("GET", f"{KEYS}/{issued.id}")
    assert strict(shown.json, KeyShape).allowed.models[0].list == ("fast",)
    assert "key" not in shown.json
    assert "argon2" not in got.text + shown.text
    assert [(each.actor, each.action) for each in await last_changes(api, 1)] == [("admin.token", "key.create")]
    assert [row.id for row in api.published] == [issued.id]


async def test_a_foreign_secret_is_not_shown_back(api: Api) -> None:
    got = await api.ask("POST", KEYS, {"name": "app", "secret": "sk-foreign-0123456789abc"})
    assert got.json["key"] is None
    assert "sk-foreign" not in got.text


async def test_what_the_ledger_refuses_is_told_field_by_field(api: Api) -> None:
    got = await api.ask("POST", KEYS, {"name": "", "models": ["nothing"]})
    assert got.faults == [
        ("name", "has 0 characters; 1 to 128 are expected"),
        ("models[0]", "leads to no model"),
    ]
    assert got.json["detail"] == "; ".join(": ".join(fault) for fault in got.faults) + "."


async def test_of_very_many_problems_the_answer_lists_the_first(api: Api) -> None:
    got = await api.ask("POST", KEYS, {"name": "a", "paths": ["x"] * 2 + [f"x{number}" for number in range(1000)]})
    assert got.faults == [("paths", "has 1001 entries; at most 200 are kept: use patterns with *")]
    got = await api.ask("POST", KEYS, {"name": "a", "models": [number for number in range(1000)]})
    assert [len(got.faults), got.faults[-1]] == [201, ("", "800 more problems; mend these first")]
    assert got.json["detail"].endswith("; and 990 more.")


async def test_a_patch_says_what_changes_what_is_cleared_and_leaves_the_rest(api: Api) -> None:
    id = await made(api, models=["fast"], owner="ann")
    got = await api.ask("PATCH", f"{KEYS}/{id}", {"models": None, "name": "new"}, kind="application/merge-patch+json")
    key = strict(got.json, KeyShape)
    assert (key.name, key.models, key.owner) == ("new", None, "ann")


async def test_a_key_is_rotated_disabled_enabled_and_deleted(api: Api) -> None:
    id = await made(api)
    got = await api.ask("POST", f"{KEYS}/{id}/rotate", {"overlap": "2h"})
    assert (got.status, len(strict(got.json, IssuedKey).secrets)) == (200, 2)
    assert (await api.ask("POST", f"{KEYS}/{id}/rotate", {"overlap": "soon"})).faults[0][0] == "overlap"
    assert (await api.ask("POST", f"{KEYS}/{id}/disable", {"cut": True})).json["state"] == "disabled"
    assert (await api.ask("POST", f"{KEYS}/{id}/disable")).status == 200
    assert (await api.ask("POST", f"{KEYS}/{id}/enable")).json["state"] == "active"
    assert [each.action for each in await last_changes(api, 3)] == ["key.enable", "key.disable", "key.rotate"]
    key = await api.store.get(Key, id)
    assert key is not None
    assert key.cut_us is not None
    assert (key.secrets[0].until_us or 0) - (await last_changes(api, 3))[2].at_us in range(7_199_000_000, 7_201_000_000)
    gone = await api.ask("DELETE", f"{KEYS}/{id}")
    assert (gone.status, gone.text) == (204, "")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", KEYS + "/none"),
        ("PATCH", KEYS + "/none"),
        ("DELETE", KEYS + "/none"),
        ("POST", KEYS + "/none/rotate"),
        ("POST", KEYS + "/none/disable"),
        ("POST", KEYS + "/none/enable"),
        ("GET", TEAMS + "/none"),
        ("PATCH", TEAMS + "/none"),
        ("DELETE", TEAMS + "/none"),
        ("DELETE", TOKENS + "/none"),
        ("GET", KEYS + "/%27%20OR%201%3D1"),
    ],
)
async def test_an_unknown_id_is_not_found(api: Api, method: str, path: str) -> None:
    got = await api.ask(method, path, {} if method == "PATCH" else None)
    assert (got.status, got.json["code"], got.json["errors"][0]["field"]) == (404, "not_found", "id")


async def test_a_listing_goes_on_from_its_cursor_until_all_was_seen(api: Api) -> None:
    ids = sorted([await made(api, name=f"k{number}") for number in range(7)])
    seen: list[str] = []
    target = f"{KEYS}?limit=3"
    for _ in range(3):
        piece = strict((await api.ask("GET", target)).json, Listing[KeyShape])
        seen += [key.id for key in piece.items]
        target = f"{KEYS}?limit=3&cursor={piece.next}"
    assert (seen, piece.next) == (ids, None)


@pytest.mark.parametrize("path", [KEYS, TEAMS])
async def test_what_has_the_longest_tag_is_listed_by_it(api: Api, path: str) -> None:
    name, value = "n" * 64, "v" * 256
    id = (await api.ask("POST", path, {"name": "app", "models": ["fast"], "tags": {name: value}})).json["id"]
    got = await api.ask("GET", f"{path}?tag={name}%3D{value}")
    assert [each["id"] for each in got.json["items"]] == [id]


async def test_a_listing_is_narrowed_by_team_state_owner_name_and_tag(api: Api) -> None:
    team = (await api.ask("POST", TEAMS, {"name": "research"})).json["id"]
    one = await made(api, name="Alpha", team="research", owner="ann", tags={"env": "a=b"})
    two = await made(api, name="beta", owner="bob")
    await api.ask("POST", f"{KEYS}/{two}/disable")

    async def found(query: str) -> list[str]:
        return [key["id"] for key in (await api.ask("GET", f"{KEYS}?{query}")).json["items"]]

    assert await found("team=research") == await found(f"team={team}") == [one]
    assert await found("state=disabled") == await found("owner=bob") == [two]
    assert await found("name=ALPH") == await found("tag=env%3Da%3Db") == [one]
    assert (await api.ask("GET", f"{KEYS}?team=none")).faults == [("team", "no team has this id or name")]
    assert (await api.ask("GET", f"{KEYS}?tag=env")).faults == [("tag", "expected name=value")]


async def test_the_teams_of_a_listing_take_one_call(api: Api) -> None:
    teams = [(await api.ask("POST", "/admin/v1/teams", {"name": f"team {n}"})).json["id"] for n in range(5)]
    for n, team in enumerate([*teams, None]):
        assert (await api.ask("POST", "/admin/v1/keys", {"name": f"key {n}", "team": team})).status == 201
    api.store.calls.clear()
    items = (await api.ask("GET", "/admin/v1/keys")).json["items"]
    assert {item["team"] and item["team"]["id"] for item in items} == {*teams, None}
    assert api.store.calls == ["list", "get_many"]


@pytest.mark.parametrize("cursor", ["x", "", "é", "WyJ0ZWFtIiwiYSJd", "WyJrZXkiLDFd", "WyJrZXkiLCJhXHUwMDAwIl0"])
async def test_a_cursor_that_this_listing_did_not_write_is_refused(api: Api, cursor: str) -> None:
    got = await api.ask("GET", f"{KEYS}?cursor={cursor}")
    assert (got.status, got.faults[0][0]) == (400, "cursor")


async def test_an_import_takes_all_or_says_which_ones_are_wrong(api: Api) -> None:
    good = {"name": "a", "secret": "sk-foreign-0123456789abc"}
    bad = await api.ask("POST", f"{KEYS}/import", {"keys": [good, {"name": "b", "secret": "short"}]})
    assert (bad.status, [field for field, _ in bad.faults]) == (400, ["keys[1].secret"])
    assert "sk-foreign" not in bad.text
    assert not api.store.rows(Key)
    worse = await api.ask("POST", f"{KEYS}/import", {"keys": [{"nam": "a"}, {"name": 1}]})
    assert ("keys[1].name", "expected text, got a whole number") in worse.faults
    assert ("keys[0].nam", "there is no such field (did you mean 'name'?)") in worse.faults
    assert "keys[1].secret" in [field for field, _ in worse.faults]
    others: list[Any] = [{}, {"keys": {}}, {"keys": [], "dry": 1}, [good], {"keys": [7, None, []]}]
    for wrong in others:
        assert (await api.ask("POST", f"{KEYS}/import", wrong)).status == 400, wrong
    done = await api.ask("POST", f"{KEYS}/import", {"keys": [good]})
    (id,) = api.store.rows(Key)
    assert done.json == {"created": [id], "unchanged": []}
    assert (await api.ask("POST", f"{KEYS}/import", {"keys": [good]})).json == {"created": [], "unchanged": [id]}
    many = await api.ask("POST", f"{KEYS}/import", {"keys": [good] * 1001})
    assert "import at most 1000" in many.json["detail"]


async def test_an_import_of_too_many_is_refused_before_they_are_read(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.keys.wishes.read", None)
    got = await api.ask("POST", f"{KEYS}/import", {"keys": [{"nam": 1}] * 100_000})
    assert got.status == 400
    assert "100000 keys at once; import at most" in got.json["detail"]


async def test_an_import_that_ends_early_names_what_it_made_and_may_be_repeated(api: Api) -> None:
    keys = [{"name": "a", "sha256": hashlib.sha256(b"%d" % n).hexdigest()} for n in range(8)]
    saves = iter(range(100))

    def outage() -> None:
        if next(saves) == 4:
            raise StoreAwayError("The line to Oslo is dead", in_doubt=True)

    api.store.before_save = outage
    got = await api.ask("POST", f"{KEYS}/import", {"keys": keys})
    assert (got.status, got.json["code"], got.headers["retry-after"]) == (503, "store_unavailable", "2")
    assert sorted(got.json["created"]) == sorted(api.store.rows(Key))
    assert (len(got.json["created"]), got.json["unchanged"]) == (5, [])
    assert "5 of 8 keys there (The line to Oslo is dead); import them again" in got.json["detail"]
    again = await api.ask("POST", f"{KEYS}/import", {"keys": keys})
    assert (len(again.json["created"]), len(again.json["unchanged"])) == (3, 5)
    api.hasher.close()
    busy = await api.ask("POST", f"{KEYS}/import", {"keys": [*keys[:3], {"name": "b", "secret": "sk-" + "0" * 20}]})
    assert (busy.status, busy.json["code"], len(busy.json["unchanged"])) == (503, "overloaded", 3)


async def test_teams_are_made_changed_and_deleted_when_they_own_nothing(api: Api) -> None:
    got = await api.ask("POST", TEAMS, {"name": "research", "models": ["gpt-*"]})
    team = strict(got.json, TeamShape)
    assert (got.status, got.headers["location"]) == (201, f"{TEAMS}/{team.id}")
    twice = await api.ask("POST", TEAMS, {"name": "research"})
    assert (twice.status, twice.json["code"], twice.json["reason"]) == (409, "conflict", "name_taken")
    assert twice.faults[0][0] == "name"
    assert (await api.ask("PATCH", f"{TEAMS}/{team.id}", {"models": None})).json["models"] is None
    assert (await api.ask("PATCH", f"{TEAMS}/{team.id}", {"state": "disabled"})).json["state"] == "disabled"
    key = await made(api, team="research")
    assert (await api.ask("GET", f"{KEYS}/{key}")).json["team"] == {"id": team.id, "name": "research"}
    owns = await api.ask("DELETE", f"{TEAMS}/{team.id}")
    assert (owns.status, owns.json["reason"]) == (409, "team_has_keys")
    await api.ask("DELETE", f"{KEYS}/{key}")
    assert (await api.ask("DELETE", f"{TEAMS}/{team.id}")).status == 204
    assert (await api.ask("GET", TEAMS)).json == {"items": [], "next": None}


async def test_a_team_goes_by_name_or_id_and_an_id_means_one_team_everywhere(api: Api) -> None:
    first = (await api.ask("POST", TEAMS, {"name": "a b/c"})).json["id"]
    second = (await api.ask("POST", TEAMS, {"name": first})).json["id"]
    key = await made(api, team=first)
    assert (await api.ask("GET", f"{KEYS}/{key}")).json["team"]["id"] == first
    assert [each["id"] for each in (await api.ask("GET", f"{KEYS}?team={first}")).json["items"]] == [key]
    for given, id in (("a%20b%2Fc", first), (first, first), (second, second)):
        assert (await api.ask("GET", f"{TEAMS}/{given}")).json["id"] == id, given


async def test_a_token_is_shown_once_and_listed_without_itself(api: Api) -> None:
    issued = strict((await api.ask("POST", TOKENS, {"name": "ops", "role": "admin"})).json, IssuedTokenShape)
    listed = await api.ask("GET", TOKENS)
    assert [each["name"] for each in listed.json["items"]] == ["ops"]
    assert issued.token not in listed.text
    assert "digest" not in listed.text
    await api.ask("POST", TEAMS, {"name": "t"}, token=issued.token)
    assert (await last_changes(api, 1))[0].actor == f"token:ops:{issued.id}"


async def test_changes_are_listed_newest_first_and_by_subject(api: Api) -> None:
    id = await made(api)
    for number in range(4):
        await api.ask("PATCH", f"{KEYS}/{id}", {"name": f"n{number}"})
    await made(api)
    first = strict((await api.ask("GET", "/admin/v1/changes?limit=4")).json, Listing[ChangeShape])
    rest = strict((await api.ask("GET", f"/admin/v1/changes?limit=4&cursor={first.next}")).json, Listing[ChangeShape])
    assert [each.version for each in (*first.items, *rest.items)] == [6, 5, 4, 3, 2, 1]
    assert rest.next is None
    of_one = (await api.ask("GET", f"/admin/v1/changes?subject={id}")).json["items"]
    assert [each["action"] for each in of_one] == ["key.update"] * 4 + ["key.create"]
    assert (of_one[0]["before"]["name"], of_one[0]["after"]["name"]) == ("n2", "n3")
    assert "argon2" not in repr(of_one)
