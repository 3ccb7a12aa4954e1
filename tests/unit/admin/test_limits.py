"""The paths of limits: what is in force, who says so, what is used, and beginning anew."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from penstock.admin.routes import table
from penstock.admin.shapes import KeyShape, LimitsShape, ResetShape
from penstock.audit.asked import Asked
from penstock.config.model import AllLimits
from penstock.keys.model import Key
from penstock.limits.policy import Limits
from tests.unit.admin.conftest import VIEWER, Api
from tests.unit.keys.scene import put

KEYS, LIMITS = "/admin/v1/keys", "/admin/v1/limits"
MINUTE = 60_000_000


async def made(api: Api, **wish: Any) -> str:
    got = await api.ask("POST", KEYS, {"name": "k"} | wish)
    assert got.status == 201, got
    return str(got.json["id"])


def use(kind: str, amount: int, used: int, reset_us: int = 0, **span: Any) -> dict[str, Any]:
    return {"kind": kind, "amount": amount, "used": used, "reset_us": reset_us, **span}


def lines(limits: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    names = ("kind", "limit", "amount", "used", "remaining", "reset_ms", "from")
    return [tuple(each[name] for name in names) for each in limits]


async def test_a_key_shows_its_own_limits_as_they_were_written(api: Api) -> None:
    wish = {"requests": ["600/min", "9/day"], "concurrent": 5}
    id = await made(api, limits=wish)
    got = await api.ask("GET", f"{KEYS}/{id}")
    assert got.json["limits"] == wish
    assert msgspec.convert(got.json, KeyShape).limits == Limits(requests=("600/min", "9/day"), concurrent=5)
    changed = await api.ask("PATCH", f"{KEYS}/{id}", {"limits": {"requests": None, "tokens": "5/s"}})
    assert changed.json["limits"] == {"tokens": "5/s", "concurrent": 5}


async def test_of_each_kind_the_keys_own_limit_goes_before_the_default(api: Api) -> None:
    id = await made(api, limits={"requests": ["600/min", "10/day"], "budget": "none"})
    api.configured = AllLimits(default=Limits(requests="1/s", tokens="5/s", budget="20 usd/day", concurrent=50))
    api.process.counted["key", id] = [
        use("requests", 600, 599, 59_999_001, window_us=MINUTE),
        use("requests", 10, 11, 5, period="day"),
        use("concurrent", 50, 3),
    ]
    got = await api.ask("GET", f"{LIMITS}/key/{id}")
    shape = msgspec.convert(got.json, LimitsShape)
    assert (got.status, shape.scope, shape.name) == (200, "key", id)
    assert lines(got.json["limits"]) == [
        ("requests", "600/min", 600, 599, 1, 60_000, "key"),
        ("requests", "10/day", 10, 11, 0, 1, "key"),
        ("tokens", "5/s", 5, 0, 5, 0, "default"),
        ("concurrent", "50", 50, 3, 47, 0, "default"),
    ]


async def test_the_key_of_open_doors_has_the_default(api: Api) -> None:
    api.configured = AllLimits(default=Limits(requests="1/s"))
    got = await api.ask("GET", f"{LIMITS}/key/open")
    assert lines(got.json["limits"]) == [("requests", "1/s", 1, 0, 1, 0, "default")]


async def test_a_team_a_model_a_provider_and_all_together_have_theirs(api: Api) -> None:
    team = (await api.ask("POST", "/admin/v1/teams", {"name": "t", "limits": {"budget": "0.5 usd/24h"}})).json["id"]
    api.configured = AllLimits(
        global_=Limits(requests="9/s"),
        models={"gpt-*": Limits(concurrent=2)},
        providers={"up/1": Limits(tokens="1/s")},
    )
    day_us = 86_400_000_000
    api.process.counted["team", team] = [use("budget", 500_000_000, 250_000_000, 1, window_us=day_us)]
    for path, name, expected in (
        (f"team/{team}", team, ("budget", "0.5 usd/24h", 500_000_000, 250_000_000, 250_000_000, 1, "team")),
        ("team/t", team, ("budget", "0.5 usd/24h", 500_000_000, 250_000_000, 250_000_000, 1, "team")),
        ("model/gpt-*", "gpt-*", ("concurrent", "2", 2, 0, 2, 0, "model")),
        ("provider/up%2F1", "up/1", ("tokens", "1/s", 1, 0, 1, 0, "provider")),
        ("global", "", ("requests", "9/s", 9, 0, 9, 0, "global")),
    ):
        got = await api.ask("GET", f"{LIMITS}/{path}")
        assert (got.json["name"], lines(got.json["limits"])) == (name, [expected]), path


@pytest.mark.parametrize("path", ["key/none", "team/none", "model/none", "provider/none", "key/none/reset"])
async def test_what_is_not_there_is_not_found(api: Api, path: str) -> None:
    got = await api.ask("POST" if path.endswith("reset") else "GET", f"{LIMITS}/{path}")
    assert (got.status, got.json["code"]) == (404, "not_found")


async def test_a_reset_is_recorded_and_done(api: Api) -> None:
    id = await made(api, limits={"requests": "1/s"})
    api.process.counted["key", id] = [use("requests", 1, 1, 5, window_us=1_000_000)]
    got = await api.ask("POST", f"{LIMITS}/key/{id}/reset")
    assert msgspec.convert(got.json, ResetShape) == ResetShape(scope="key", name=id, reset=True)
    assert (await api.ask("POST", f"{LIMITS}/key/{id}/reset")).json["reset"] is False
    assert (await api.ask("POST", f"{LIMITS}/global/reset")).json == {"scope": "global", "name": "", "reset": False}
    changes = await api.store.changes(None, None, 3)
    assert [(each.action, each.subject, each.actor) for each in changes] == [
        ("limits.reset", "global", "admin.token"),
        ("limits.reset", id, "admin.token"),
        ("limits.reset", id, "admin.token"),
    ]
    assert changes[0].after == {"scope": "global", "name": ""}


async def test_limits_that_nodes_share_do_not_begin_anew_while_redis_is_away(api: Api) -> None:
    id = await made(api, limits={"requests": "1/s"})
    api.process.counted["key", id] = [use("requests", 1, 1, 5, window_us=1_000_000)]
    api.process.limits_away = True
    got = await api.ask("POST", f"{LIMITS}/key/{id}/reset")
    assert (got.status, got.json["code"], got.headers["retry-after"]) == (503, "store_unavailable", "2")
    assert "nothing began anew" in got.json["detail"]
    assert (await api.store.changes(None, None, 1))[0].action != "limits.reset"
    api.process.limits_away, api.process.fails = False, "no answer in time"
    got = await api.ask("POST", f"{LIMITS}/key/{id}/reset")
    assert (got.status, got.json["code"]) == (503, "store_unavailable")
    assert "cannot be told (no answer in time): try again" in got.json["detail"]
    assert api.process.counted
    api.process.fails = ""
    assert (await api.ask("POST", f"{LIMITS}/key/{id}/reset")).json["reset"] is True


async def test_a_reset_of_a_name_of_any_length_is_recorded(api: Api) -> None:
    name = "m" * 256
    api.configured = AllLimits(models={name: Limits(requests="1/s")})
    assert (await api.ask("POST", f"{LIMITS}/model/{name}/reset")).status == 200
    (change,) = await api.store.changes(None, None, 1)
    assert change.subject == f"model:{name}"[:200]
    assert change.after == {"scope": "model", "name": name}


async def test_what_cannot_be_recorded_is_not_done(api: Api) -> None:
    api.process.counted["global", ""] = []
    api.store.away = True
    assert (await api.ask("POST", f"{LIMITS}/global/reset")).status == 503
    assert api.process.counted


async def test_a_viewer_looks_and_does_not_reset(api: Api) -> None:
    assert (await api.ask("GET", f"{LIMITS}/global", token=VIEWER)).status == 200
    assert (await api.ask("POST", f"{LIMITS}/global/reset", token=VIEWER)).status == 403


async def test_where_no_node_runs_nothing_is_known_and_nothing_reset(api: Api) -> None:
    api.configured = AllLimits(global_=Limits(requests="9/s", concurrent=1))
    api.gate._router._table = table(None, api.ledger, lambda: api.configured, Asked(None, "/nowhere"))
    got = await api.ask("GET", f"{LIMITS}/global")
    assert lines(got.json["limits"]) == [
        ("requests", "9/s", 9, None, None, None, "global"),
        ("concurrent", "1", 1, None, None, None, "global"),
    ]
    refused = await api.ask("POST", f"{LIMITS}/global/reset")
    assert (refused.status, refused.json["code"]) == (409, "conflict")
    assert await api.store.changes(None, None, 1) == []


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ({"limits": Limits(requests="plenty")}, "requests: expected a limit such as 600/min"),
        ({"limits_rest": '{"reserve":"p95"}'}, "reserve says what this release does not know"),
        ({"limits_rest": "[]"}, "they are no JSON object"),
    ],
)
async def test_limits_that_cannot_be_read_are_a_problem_and_not_the_default(
    api: Api, written: dict[str, Any], why: str
) -> None:
    api.configured = AllLimits(default=Limits(requests="1/s"))
    row = Key(id="key000000001", name="k", **written)
    await put(api.store, row)
    got = await api.ask("GET", f"{LIMITS}/key/{row.id}")
    assert (got.status, got.json["limits"]) == (200, [])
    assert got.json["problem"].startswith("its limits cannot be read: ")
    assert why in got.json["problem"]
