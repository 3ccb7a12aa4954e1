"""Keys of LiteLLM's table: what each becomes, which are left out, and that none may do more than before unsaid."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from penstock.config.model import Config
from penstock.importers.litellm import keys
from penstock.importers.litellm.allowed import Allowed
from penstock.importers.litellm.dump import Row
from penstock.importers.litellm.notes import Notes
from penstock.importers.litellm.teams import Teams
from penstock.policy.names import Names
from penstock.providers.catalogue import load_catalogue
from tests.unit.conftest import KEYS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
A, B, C = ("a" * 64, "b" * 64, "c" * 64)
SECRET = "sk-1234567890abcdefghij"
Move = Callable[..., keys.Converted]

CONFIG = """
providers: {openai: {}, llm: {kind: openai}}
models:
  gpt-4o: { targets: [ { provider: openai } ] }
  claude: { targets: [ { provider: openai } ] }
  "mini-*": { targets: [ { provider: openai } ] }
"""


@pytest.fixture
def move(read: Callable[..., Config]) -> Move:
    def convert(
        *cells: Mapping[str, object], teams: tuple[Mapping[str, object], ...] = (), config: str = CONFIG
    ) -> keys.Converted:
        notes = Notes()
        names = Names(read(config), load_catalogue(), KEYS)
        allowed = Allowed(names, {"beta": ["gpt-4o", "claude"]}, notes)
        known = Teams((Row(n, dict(team)) for n, team in enumerate(teams, 2)), allowed, notes)
        return keys.convert((Row(n, dict(row)) for n, row in enumerate(cells, 2)), known, allowed, NOW, notes)

    return convert


def reasons(moved: keys.Converted) -> dict[str, str]:
    return {note.path: note.reason for note in moved.notes}


def lines(moved: keys.Converted) -> list[dict[str, Any]]:
    return [json.loads(line) for line in moved.text.splitlines()]


def test_a_key_keeps_its_hash_and_what_it_may_do(move: Move) -> None:
    moved = move(
        {
            "token": A.upper(),
            "key_alias": "prod",
            "key_name": "sk-...cdef",
            "models": ["gpt-4o", "mini-*"],
            "user_id": "ann@example.com",
            "expires": "2030-05-06 07:08:09.5",
            "metadata": '{"stage": "live", "tags": ["x", "y"], "count": 3}',
            "blocked": None,
        }
    )
    assert lines(moved) == [
        {
            "sha256": A,
            "name": "prod",
            "models": ["gpt-4o", "mini-*"],
            "owner": "ann@example.com",
            "expires": "2030-05-06T07:08:09.500000Z",
            "tags": {"stage": "live", "tags": "x,y", "count": "3"},
        }
    ]
    assert moved.notes == []


def test_names_are_unique_and_never_empty(move: Move) -> None:
    tokens = [f"{n:064x}" for n in range(6)]
    aliases = ["same", "same", None, "\n \t", "same-2", "y" * 300]
    moved = move(*({"token": token, "key_alias": alias} for token, alias in zip(tokens, aliases, strict=True)))
    names = [line["name"] for line in lines(moved)]
    assert names == ["same", "same-2", "litellm-00000000", "unnamed", "same-2-2", "y" * 100]
    assert lines(move({"token": A, "key_name": "sk-...cdef"}))[0]["name"] == "sk-...cdef"


def test_a_key_in_clear_is_hashed_and_never_written(move: Move) -> None:
    moved = move({"token": SECRET, "key_alias": "old"}, {"token": "sk-short", "key_alias": "guessable"})
    assert [line["sha256"] for line in lines(moved)] == [hashlib.sha256(SECRET.encode()).hexdigest()]
    assert SECRET not in moved.text + str(moved.notes)
    assert "sk-short" not in str(moved.notes)
    assert "20 to 512 characters" in reasons(moved)["keys: guessable"]


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"token": A, "blocked": True}, "it is blocked"),
        ({"token": A, "blocked": "t"}, "it is blocked"),
        ({"token": A, "expires": "2025-12-31 23:59:59"}, "it has expired"),
        ({"token": A, "expires": "tomorrow"}, "cannot be read as a time"),
        ({"token": A, "expires": 5}, "cannot be read as a time"),
        ({"token": None}, "it has no token"),
        ({"token": 5}, "it has no token"),
        ({"token": "zz"}, "neither a SHA-256"),
        ({"token": B}, "the same token"),
        ({"token": A, "team_id": "closed"}, "its team Closed is blocked"),
    ],
)
def test_a_key_that_is_left_out_says_why(move: Move, cells: dict[str, object], reason: str) -> None:
    team = {"team_id": "closed", "team_alias": "Closed", "blocked": True}
    moved = move({"token": B, "key_alias": "good"}, cells | {"key_alias": "bad"}, teams=(team,))
    assert [line["name"] for line in lines(moved)] == ["good"]
    assert reason in reasons(moved)["keys: bad"]
    assert reasons(moved)["keys: bad"].startswith("is left out: ")


@pytest.mark.parametrize(
    ("listed", "team", "expected"),
    [
        ([], None, None),
        (None, None, None),
        ("{}", None, None),
        (["all-proxy-models"], None, None),
        (["*"], None, None),
        (["no-default-models"], None, []),
        (["all-team-models"], "t", None),
        (["all-team-models", "all-proxy-models"], None, []),
        (["all-team-models"], None, []),
        (["beta"], None, ["gpt-4o", "claude"]),
        (["openai/*", "llm/gpt-4o", "mini-1", "gpt-*"], None, ["openai/*", "llm/gpt-4o", "mini-1", "gpt-*"]),
        (["gpt-4o", "gone", "all-org-models", "x y"], None, ["gpt-4o"]),
        (["gone"], None, []),
        ("not a list", None, []),
        (["***************"], None, []),
    ],
)
def test_models_of_a_key_become(move: Move, listed: object, team: str | None, expected: list[str] | None) -> None:
    moved = move({"token": A, "key_alias": "k", "models": listed, "team_id": team})
    assert moved.keys[0].models == expected
    if expected == []:
        assert any(word in reasons(moved)["keys: k"] for word in ("may use no model", "may use none"))


def test_names_that_lead_nowhere_are_noted_once(move: Move) -> None:
    moved = move({"token": A, "models": ["gone", "gpt-4o"]}, {"token": B, "models": ["gone"]})
    assert "taken out of the lists of 2 keys and teams" in reasons(moved)["models of keys: gone"]


def test_without_models_in_the_file_the_patterns_of_the_providers_count(move: Move) -> None:
    moved = move({"token": A, "models": ["gpt-4o", "claude-x", "openai/"]}, config="providers: {openai: {}}\n")
    assert moved.keys[0].models == ["gpt-4o"]


def test_teams_come_by_alias_and_are_to_be_made_first(move: Move) -> None:
    team = {"team_id": "0-1", "team_alias": "Core infra", "models": '{gpt-4o,"mini-*"}', "rpm_limit": 5}
    team |= {"max_budget": "0.5", "budget_duration": "30d", "budget_limits": [1]}
    moved = move({"token": A, "team_id": "0-1"}, {"token": B, "team_id": "other"}, teams=(team, {"team_id": "unused"}))
    assert [line["team"] for line in lines(moved)] == ["Core infra", "other"]
    found = reasons(moved)
    assert found["teams: Core infra"] == (
        "make it before the keys are imported: "
        "penstock teams create --name 'Core infra' --limit requests=5/min --limit 'budget=0.5 usd/30d' "
        "--model gpt-4o --model 'mini-*'"
    )
    assert "without --teams it may use all of them" in found["teams: other"]
    assert "budget_limits have no equivalent" in found["teams with limits: Core infra"]
    assert "teams: unused" not in found


def test_keys_of_a_team_that_may_use_nothing_may_use_nothing(move: Move) -> None:
    team = {"team_id": "t", "team_alias": "T", "models": ["no-default-models"]}
    assert move({"token": A, "team_id": "t", "models": ["gpt-4o"]}, teams=(team,)).keys[0].models == []


def test_a_name_of_a_team_is_quoted_for_the_shell(move: Move) -> None:
    moved = move({"token": A, "team_id": "t"}, teams=({"team_id": "t", "team_alias": "$(rm -rf /); '"},))
    (reason,) = reasons(moved).values()
    assert reason.endswith("""--name '$(rm -rf /); '"'"''""")


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        (None, None),
        (["llm_api_routes"], None),
        (["/v1/chat/completions", "/embeddings", "/key/{id}"], ["/chat/completions", "/embeddings"]),
        (["/*"], None),
        (["anthropic_routes"], ["/messages", "/messages/*"]),
        (["management_routes", "info_routes"], []),
        ("nonsense", []),
    ],
)
def test_routes_of_a_key_become_paths(move: Move, routes: object, expected: list[str] | None) -> None:
    moved = move({"token": A, "key_alias": "k", "allowed_routes": routes})
    assert moved.keys[0].paths == expected
    if expected == []:
        assert "may call" in reasons(moved)["keys: k"]


def test_limits_of_a_key_go_with_it(move: Move) -> None:
    moved = move({"token": A, "rpm_limit": "5", "max_budget": 10.0, "budget_duration": "30d", "budget_id": ""})
    assert lines(moved)[0]["limits"] == {"requests": "5/min", "budget": "10 usd/30d"}
    assert moved.notes == []


def test_limits_and_restrictions_are_listed_by_column(move: Move) -> None:
    row = {"max_budget": 10, "rpm_limit": "5", "tpm_limit": None, "aliases": "{}", "permissions": {"a": True}}
    moved = move(*({"token": f"{n:064x}", "key_alias": f"k{n}", **row} for n in range(7)))
    found = reasons(moved)
    assert "there is no budget" in found["column budget_duration of k0, k1, k2, k3, k4 and 2 more"]
    assert "look at each" in found["column permissions of k0, k1, k2, k3, k4 and 2 more"]
    assert not any("pm_limit" in path or "aliases" in path for path in found)


def test_metadata_that_may_hold_a_credential_becomes_no_tag(move: Move) -> None:
    metadata = {
        "langfuse_secret_key": "x",
        "logging": [{"callback_vars": {"k": "v"}}],
        "webhook": "https://hooks",
        "where": "https://u:p@h",
        "ok": " yes ",
        "flag": False,
        "é": "x",
        "long": "x" * 300,
    }
    moved = move({"token": A, "key_alias": "k", "metadata": metadata})
    assert moved.keys[0].tags == {"ok": "yes"}
    assert "column metadata of k" in reasons(moved)


def test_keys_of_the_user_interface_are_left_out(move: Move) -> None:
    moved = move({"token": A, "team_id": "litellm-dashboard"}, {"token": B, "user_id": "default_user_id"})
    assert lines(moved) == [{"sha256": B, "name": "litellm-bbbbbbbb"}]
    assert "1 keys of sessions" in reasons(moved)["keys of litellm-dashboard"]


def test_a_hundred_thousand_keys_take_no_quadratic_time(move: Move) -> None:
    rows = ({"token": f"{n:064x}", "key_alias": "same", "models": ["gpt-4o"]} for n in range(100_000))
    moved = move(*rows)
    assert len({key.name for key in moved.keys}) == 100_000


def test_budgets_need_prices() -> None:
    notes, budget = Notes(), {"max_budget": 1, "budget_duration": "1d"}
    allowed = Allowed(None, {}, notes)
    known = Teams([Row(2, {"team_id": "t", "team_alias": "T", **budget})], allowed, notes)
    rows = [Row(n, {"token": token, "team_id": "t", **budget}) for n, token in enumerate((A, B), 2)]
    found = reasons(keys.convert(rows, known, allowed, NOW, notes, ["openai/gpt-4o"]))
    assert "add prices for openai/gpt-4o" in found["2 keys and 1 teams have budgets"]
    free = Notes()
    keys.convert(rows[:1], Teams([], allowed, free), allowed, NOW, free, [])
    assert not any("budgets" in note.path for note in free)
