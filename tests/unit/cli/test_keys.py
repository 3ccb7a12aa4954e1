"""`penstock keys`, `teams` and `tokens`: what is sent, what is printed where, and how it ends."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click
import pytest

from penstock.cli.key_options import read_expiry
from tests.unit.cli.conftest import ApiTransport, Run


def sent(transport: ApiTransport) -> tuple[str, str, object]:
    return transport.sent[-1]


def test_a_key_is_printed_alone_and_what_to_know_of_it_on_standard_error(run: Run, transport: ApiTransport) -> None:
    done = run("keys", "create", "--name", "app", "--model", "fast", "--model", "gpt-*", "--tag", "env=a=b")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "sk-pen-k00000000001-shown-once\n"
    assert "made the key k00000000001 for app; keep it, it is not shown again" in done.stderr
    assert sent(transport) == (
        "POST",
        "/admin/v1/keys",
        {"name": "app", "models": ["fast", "gpt-*"], "tags": {"env": "a=b"}},
    )


def test_programs_get_the_key_as_an_object(run: Run, transport: ApiTransport) -> None:
    done = run("keys", "create", "--name", "app", "--json")
    made = json.loads(done.stdout)
    assert (made["id"], made["key"]) == ("k00000000001", "sk-pen-k00000000001-shown-once")
    assert done.stderr == ""


def test_a_foreign_key_comes_from_standard_input_and_is_not_printed(run: Run, transport: ApiTransport) -> None:
    done = run("keys", "create", "--name", "old", "--secret-stdin", stdin="sk-foreign-0123456789abc\n")
    assert sent(transport)[2] == {"name": "old", "secret": "sk-foreign-0123456789abc"}
    assert done.stdout == "k00000000001\n"
    assert "sk-foreign" not in done.output
    assert run("keys", "create", "--name", "old", "--secret-stdin", stdin="\n").exit_code == 2


def test_every_problem_is_a_line_and_wrong_use_is_2(run: Run, transport: ApiTransport) -> None:
    done = run("keys", "create", "--name", "", "--model", "nothing")
    assert done.exit_code == 2
    assert done.stderr.splitlines() == ["name: is empty", "models[0]: leads to no model"]
    assert done.stdout == ""


@pytest.mark.parametrize(
    "command",
    [
        ["keys", "show", "none"],
        ["keys", "update", "none", "--name", "x"],
        ["keys", "rotate", "none"],
        ["keys", "disable", "none"],
        ["keys", "enable", "none"],
        ["keys", "delete", "none"],
        ["tokens", "delete", "none"],
    ],
)
def test_what_is_not_there_is_1_and_said(run: Run, transport: ApiTransport, command: list[str]) -> None:
    done = run(*command)
    kind = "token" if command[0] == "tokens" else "key"
    assert (done.exit_code, done.stderr) == (1, f"There is no {kind} none.\n")


def test_a_store_that_is_away_is_1(run: Run, transport: ApiTransport) -> None:
    transport.api.store.away = True
    done = run("keys", "list")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "does not answer" in done.stderr


def test_keys_are_listed_as_a_table_whole_when_piped(run: Run, transport: ApiTransport) -> None:
    run("teams", "create", "--name", "research")
    run("keys", "create", "--name", "a" * 80, "--team", "research", "--owner", "ann")
    run("keys", "create", "--name", "b\x1b[31m\nc", "--model", "fast")
    run("keys", "disable", "k00000000003")
    lines = run("keys", "list").stdout.splitlines()
    assert lines[0].split() == ["ID", "NAME", "TEAM", "OWNER", "STATE", "MODELS", "EXPIRES", "LAST", "USED"]
    assert lines[1].split() == ["k00000000002", "a" * 80, "research", "ann", "active", "all", "never", "never"]
    assert lines[2].split() == ["k00000000003", "b�[31m�c", "-", "-", "disabled", "fast", "never", "never"]
    assert len(lines) == 3
    assert [key["name"] for key in json.loads(run("keys", "list", "--owner", "ann", "--json").stdout)] == ["a" * 80]
    assert sent(transport)[1] == "/admin/v1/keys?owner=ann&limit=1000"


def test_a_key_is_shown_with_where_each_list_comes_from(run: Run, transport: ApiTransport) -> None:
    run("teams", "create", "--name", "research", "--model", "gpt-*")
    run("keys", "create", "--name", "app", "--team", "research", "--model", "gpt-5", "--model", "fast")
    shown = run("keys", "show", "k00000000002").stdout.splitlines()
    assert shown[2] == "team       research (t00000000001)"
    at = shown.index("models     gpt-5, fast  (from the key)")
    assert shown[at + 1] == "           gpt-*  (from the team research)"
    assert shown[at + 2] == "paths      all"
    assert "secrets    1: as long as the key" in shown
    assert json.loads(run("keys", "show", "k00000000002", "--json").stdout)["allowed"]["models"][1]["from"] == "team"


def test_an_update_says_what_changes_and_what_is_cleared(run: Run, transport: ApiTransport) -> None:
    run("keys", "create", "--name", "app")
    done = run(
        *("keys", "update", "k00000000001", "--model", "fast", "--all-paths", "--no-owner", "--expires", "never"),
        *("--tag", "a=1", "--untag", "b"),
    )
    assert done.stdout == "changed k00000000001 (app)\n"
    assert sent(transport)[2] == {
        "models": ["fast"], "paths": None, "owner": None, "expires": None, "tags": {"a": "1", "b": None},
    }  # fmt: skip
    for wrong in ([], ["--model", "a", "--all-models"], ["--team", "a", "--no-team"], ["--tag", "x"]):
        assert run("keys", "update", "k00000000001", *wrong).exit_code == 2, wrong


def test_a_key_is_rotated_disabled_cut_enabled_and_deleted(run: Run, transport: ApiTransport) -> None:
    run("keys", "create", "--name", "app")
    rotated = run("keys", "rotate", "k00000000001", "--overlap", "2h")
    assert rotated.stdout == "sk-pen-k00000000001-rotated\n"
    assert "the old one is valid until 2027-01-15 08:00 UTC" in rotated.stderr
    assert run("keys", "rotate", "k00000000001").exit_code == 0
    assert run("keys", "disable", "k00000000001", "--cut").stdout == "disabled k00000000001 (app)\n"
    assert run("keys", "enable", "k00000000001").stdout == "enabled k00000000001 (app)\n"
    assert run("keys", "delete", "k00000000001").stdout == "deleted k00000000001\n"
    assert json.loads(run("keys", "list", "--json").stdout) == []
    assert transport.api.ledger.calls == [
        ("rotate_key", 7_200_000),
        ("rotate_key", 86_400_000),
        ("set_key_state", "disabled", True),
        ("set_key_state", "active", False),
    ]


def test_teams_go_by_name_or_id(run: Run, transport: ApiTransport) -> None:
    assert run("teams", "create", "--name", "a b/c", "--model", "gpt-*", "--tag", "x=y").exit_code == 0
    by_name, by_id = run("teams", "show", "a b/c"), run("teams", "show", "t00000000001")
    assert by_name.stdout == by_id.stdout
    assert "models    gpt-*" in by_name.stdout.splitlines()
    assert run("teams", "update", "a b/c", "--all-models", "--name", "d").stdout == "changed t00000000001 (d)\n"
    assert run("teams", "list").stdout.splitlines()[1].split()[:3] == ["t00000000001", "d", "all"]
    assert run("teams", "show", "none").stderr == "there is no team none\n"
    assert run("teams", "create", "--name", "d").stderr == "a team is called d already\n"
    run("keys", "create", "--name", "k", "--team", "d")
    assert run("teams", "delete", "d").exit_code == 1
    run("keys", "delete", "k00000000002")
    assert run("teams", "delete", "d").stdout == "deleted t00000000001 (d)\n"


def test_a_token_is_printed_once(run: Run, transport: ApiTransport) -> None:
    done = run("tokens", "create", "--name", "ops", "--role", "admin")
    assert done.stdout == "pen-admin-ops-0123456789\n"
    assert "not shown again" in done.stderr
    listed = run("tokens", "list").stdout
    assert listed.splitlines()[1].split()[:3] == ["a00000000001", "ops", "admin"]
    assert "pen-admin" not in listed
    assert run("tokens", "create", "--name", "x", "--role", "root").exit_code == 2
    assert run("tokens", "delete", "a00000000001").stdout == "deleted a00000000001\n"


def test_a_listing_of_many_pieces_is_one(run: Run, transport: ApiTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.cli.admin_client.PAGE", 2)
    for number in range(5):
        run("keys", "create", "--name", f"k{number}")
    assert len(json.loads(run("keys", "list", "--json").stdout)) == 5


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("30d", "2026-03-03T12:00:00Z"),
        ("1.5h", "2026-02-01T13:30:00Z"),
        ("2031-01-31T12:00:00Z", "2031-01-31T12:00:00Z"),
        ("next year", "next year"),
        (None, None),
    ],
)
def test_an_expiry_is_a_time_or_a_duration(given: str | None, made: str | None) -> None:
    assert read_expiry(given, datetime(2026, 2, 1, 12, tzinfo=UTC)) == made


@pytest.mark.parametrize("given", ["30", "30y", "1.2.3d", "99999999999d"])
def test_a_duration_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(click.BadParameter, match="expected a time such as"):
        read_expiry(given)
