"""`--limit` of keys and teams, what `show` says of limits, and `penstock limits`."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest
from msgspec.structs import replace

from penstock.cli.limit_options import LimitsError, limit_lines, limits_patch, limits_wish, read_limits
from penstock.config.model import AllLimits
from penstock.keys.model import Key
from penstock.limits.policy import Limits
from tests.unit.cli.conftest import ApiTransport, Run


def create(run: Run, kind: str, name: str, *more: str) -> str:
    done = run(kind, "create", "--name", name, "--json", *more)
    assert done.exit_code == 0, done.stderr
    return str(json.loads(done.stdout)["id"])


def use(kind: str, amount: int, used: int, reset_us: int = 0, **span: Any) -> dict[str, Any]:
    return {"kind": kind, "amount": amount, "used": used, "reset_us": reset_us, **span}


def test_limits_become_an_object() -> None:
    given = ["requests=600/min", "requests = 9/day", "budget=20 usd/day", "concurrent=50", "queue=2s"]
    assert read_limits([*given, "reserve=cap", "away=closed"]) == {
        "requests": ["600/min", "9/day"],
        "budget": "20 usd/day",
        "concurrent": 50,
        "queue": "2s",
        "reserve": "cap",
        "away": "closed",
    }
    assert read_limits(["concurrent=none", "tokens=none"]) == {"concurrent": "none", "tokens": "none"}


@pytest.mark.parametrize(
    "given", [["600/min"], ["request=1/s"], ["requests="], ["=1/s"], ["concurrent=1", "concurrent=2"], [""]]
)
def test_what_is_no_limit_is_refused(given: list[str]) -> None:
    with pytest.raises(LimitsError):
        read_limits(given)
    with pytest.raises(click.BadParameter):
        limits_wish(given)


def test_a_patch_sets_leaves_to_the_default_or_lifts_all() -> None:
    assert limits_patch(["requests=1/s", "tokens=default"], False) == {"limits": {"requests": "1/s", "tokens": None}}
    assert limits_patch([], True) == {"limits": None}
    assert limits_patch([], False) == limits_wish(["tokens=default"]) == {}
    with pytest.raises(click.UsageError):
        limits_patch(["requests=1/s"], True)


def test_a_key_is_made_and_changed_with_limits(run: Run, transport: ApiTransport) -> None:
    id = create(run, "keys", "app", "--limit", "requests=600/min", "--limit", "concurrent=5")
    assert transport.sent[-1][2]["limits"] == {"requests": "600/min", "concurrent": 5}
    assert run("keys", "update", id, "--limit", "concurrent=default", "--limit", "tokens=none").exit_code == 0
    assert json.loads(run("keys", "show", id, "--json").stdout)["limits"] == {"requests": "600/min", "tokens": "none"}
    assert run("keys", "update", id, "--no-limits").exit_code == 0
    assert json.loads(run("keys", "show", id, "--json").stdout)["limits"] is None
    assert run("keys", "update", id, "--no-limits", "--limit", "tokens=none").exit_code == 2
    wrong = run("keys", "create", "--name", "app", "--limit", "requests=lots")
    assert (wrong.exit_code, wrong.stderr.partition(":")[0]) == (2, "limits.requests")


def test_a_key_is_shown_with_where_each_limit_comes_from_and_its_use(run: Run, transport: ApiTransport) -> None:
    team = create(run, "teams", "research", "--limit", "budget=20 usd/day")
    id = create(run, "keys", "app", "--team", "research", "--limit", "requests=600/min")
    transport.api.configured = AllLimits(default=Limits(concurrent=50))
    transport.api.process.counted = {
        ("key", id): [use("requests", 600, 12, 59_000_000, window_us=60_000_000), use("concurrent", 50, 3)],
        ("team", team): [use("budget", 20 * 10**9, 1_500_000_000, 3_600_000_000, period="day")],
    }
    shown = run("keys", "show", id).stdout.splitlines()
    at = shown.index("limits     requests 600/min  (from the key)  12 used, free again in 59s")
    assert shown[at + 1] == "           concurrent 50  (from limits.default)  3 used"
    assert shown[at + 2] == "           budget 20 usd/day  (from the team research)  1.5 usd used, free again in 1h"
    of_team = run("teams", "show", "research").stdout.splitlines()
    assert "limits    budget 20 usd/day  (from the team research)  1.5 usd used, free again in 1h" in of_team


def test_programs_are_told_what_is_in_force(run: Run, transport: ApiTransport) -> None:
    team = create(run, "teams", "research", "--limit", "budget=20 usd/day")
    id = create(run, "keys", "app", "--team", "research", "--limit", "requests=600/min")
    transport.api.process.counted["key", id] = [use("requests", 600, 12, 1, window_us=60_000_000)]
    own, pool = json.loads(run("keys", "show", id, "--json").stdout)["in_force"]
    assert (own["limit"], own["used"], own["from"]) == ("600/min", 12, "key")
    assert (pool["limit"], pool["used"], pool["from"]) == ("20 usd/day", 0, "team")
    assert json.loads(run("teams", "show", team, "--json").stdout)["in_force"] == [pool]


def test_a_node_of_the_release_before_does_not_tell(
    run: Run, transport: ApiTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = create(run, "keys", "app")
    call = transport.call

    def older(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        return (404, {"detail": "no such path"}) if "/limits/" in path else call(method, path, body)

    monkeypatch.setattr(transport, "call", older)
    assert "limits     not known: the node is of an older release" in run("keys", "show", id).stdout.splitlines()
    assert json.loads(run("keys", "show", id, "--json").stdout)["in_force"] is None


def test_limits_that_cannot_be_read_are_said_to_be(run: Run, transport: ApiTransport) -> None:
    id = create(run, "keys", "app")
    rows = transport.api.store._rows
    rows[Key, id] = replace(rows[Key, id], limits_rest='{"reserve":"p95"}')
    line = "limits     its limits cannot be read: reserve says what this release does not know"
    assert line in run("keys", "show", id).stdout.splitlines()


def test_every_wrong_limit_is_told() -> None:
    with pytest.raises(LimitsError) as error:
        read_limits(["request=1/s", "concurrent=1", "concurrent=2", "9/s"])
    assert [problem.partition(",")[0] for problem in error.value.problems] == [
        "expected KIND=VALUE with a kind of requests",
        "concurrent stands twice",
        "expected KIND=VALUE with a kind of requests",
    ]


def test_a_team_has_no_default_to_lift(run: Run, transport: ApiTransport) -> None:
    assert "lifts limits.default" in " ".join(run("keys", "create", "--help").stdout.split())
    assert "lifts" not in run("teams", "create", "--help").stdout
    wrong = run("teams", "create", "--name", "t", "--limit", "tokens=none")
    assert (wrong.exit_code, wrong.stderr.partition(":")[0]) == (2, "limits.tokens")


def test_a_key_without_limits_says_so(run: Run, transport: ApiTransport) -> None:
    id = create(run, "keys", "app")
    assert "limits     none" in run("keys", "show", id).stdout.splitlines()


def test_what_is_used_is_left_out_where_no_node_runs() -> None:
    limit = {"kind": "requests", "limit": "1/s", "used": None, "remaining": None, "reset_ms": None, "from": "key"}
    assert limit_lines([limit]) == ["requests 1/s  (from the key)"]


def test_limits_of_one_place_are_shown_and_begun_anew(run: Run, transport: ApiTransport) -> None:
    transport.api.configured = AllLimits(global_=Limits(requests="9/s"), models={"a/b": Limits(tokens="1/s")})
    transport.api.process.counted["global", ""] = [use("requests", 9, 4, 500_000, window_us=1_000_000)]
    assert run("limits", "show", "global").stdout.splitlines() == [
        "scope   global",
        "name    -",
        "limits  requests 9/s  (from limits.global)  4 used, free again in 1s",
    ]
    assert json.loads(run("limits", "show", "model", "a/b", "--json").stdout)["name"] == "a/b"
    assert run("limits", "reset", "global").stdout == "began anew: global\n"
    assert run("limits", "reset", "global").stdout == "nothing was counted there\n"
    assert json.loads(run("limits", "reset", "model", "a/b", "--json").stdout)["reset"] is False
    for wrong in (["show", "global", "x"], ["show", "key"], ["show", "nothing", "x"], ["reset", "team", ""]):
        assert run("limits", *wrong).exit_code == 2, wrong
    assert run("limits", "show", "model", "none").exit_code == 1
