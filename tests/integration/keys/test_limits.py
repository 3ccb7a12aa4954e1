"""Limits of keys and teams on a running gateway: in force when they are set, shown, changed, begun anew."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.gateway import Gateway
from tests.support.office import KEYS, Made, Office, use, verdict
from tests.support.raw import get

LIMITS = "/admin/v1/limits"
TEAMS = "/admin/v1/teams"


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return {"limits": {"default": {"requests": "1000/h"}}}


def spent(office: Office, scope: str, name: str) -> dict[str, int]:
    """What is used, by kind."""
    found = office.call("GET", f"{LIMITS}/{scope}/{name}")
    return {each["kind"]: each["used"] for each in found["limits"]}


def test_a_limit_holds_from_the_call_that_sets_it_until_the_one_that_lifts_it(gateway: Gateway, office: Office) -> None:
    key = office.make(limits={"requests": "2/h"})
    assert [verdict(gateway, key) for _ in range(3)] == ["ok", "ok", "rate_limit_requests"]
    assert spent(office, "key", key.id) == {"requests": 2}
    office.change(key, limits={"requests": "3/h"})
    assert [verdict(gateway, key) for _ in range(2)] == ["ok", "rate_limit_requests"]
    office.change(key, limits={"requests": "none"})
    assert verdict(gateway, key) == "ok"
    office.change(key, limits=None)
    shown = office.call("GET", f"{LIMITS}/key/{key.id}")["limits"]
    assert [(each["limit"], each["from"]) for each in shown] == [("1000/h", "default")]


def test_a_team_is_a_pool_and_begins_anew(gateway: Gateway, office: Office) -> None:
    team = office.call("POST", TEAMS, {"name": "pool", "limits": {"requests": "2/h"}}, 201)["id"]
    first, second = office.make(team="pool"), office.make(team="pool")
    assert [verdict(gateway, key) for key in (first, second, first)] == ["ok", "ok", "rate_limit_requests"]
    assert spent(office, "team", "pool") == {"requests": 2}
    assert office.call("POST", f"{LIMITS}/team/{team}/reset")["reset"] is True
    assert spent(office, "team", team) == {"requests": 0}
    assert verdict(gateway, second) == "ok"
    (change, *_) = office.call("GET", f"/admin/v1/changes?subject={team}")["items"]
    assert (change["action"], change["after"]) == ("limits.reset", {"scope": "team", "name": team})


def test_the_commands_set_show_and_reset(gateway: Gateway, office: Office) -> None:
    made = json.loads(office.command("keys", "create", "--name", "app", "--limit", "requests=5/h", "--json").stdout)
    office.note(made["key"])
    key = Made(made["id"], made["key"])
    assert use(gateway, key).status == 200
    assert "requests 5/h  (from the key)  1 used, free again in " in office.command("keys", "show", key.id).stdout
    assert office.command("keys", "update", key.id, "--limit", "concurrent=3").returncode == 0
    assert office.call("GET", f"{KEYS}/{key.id}")["limits"] == {"requests": "5/h", "concurrent": 3}
    assert office.command("limits", "reset", "key", key.id).stdout == f"began anew: key {key.id}\n"
    assert spent(office, "key", key.id) == {"requests": 0, "concurrent": 0}
    told = get(gateway.address, "/v1/key", {"authorization": f"Bearer {key.text}"}).json()["limits"]
    assert [(each["kind"], each["limit"], each["from"]) for each in told] == [
        ("concurrent", "3", "key"),
        ("requests", "5/h", "key"),
    ]
