"""`penstock keys`, `teams` and `tokens`: what is sent, what is printed where, and how it ends."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest

from penstock.cli.key_options import read_expiry
from penstock.keys.secret import own_id
from tests.unit.cli.conftest import ApiTransport, Run

FOREIGN = "sk-foreign-0123456789abc"


def sent(transport: ApiTransport) -> tuple[str, str, Any]:
    return transport.sent[-1]


def create(run: Run, name: str, *more: str) -> str:
    done = run("keys", "create", "--name", name, "--json", *more)
    assert done.exit_code == 0, done.stderr
    return str(json.loads(done.stdout)["id"])


def create_team(run: Run, name: str, *more: str) -> str:
    done = run("teams", "create", "--name", name, "--json", *more)
    assert done.exit_code == 0, done.stderr
    return str(json.loads(done.stdout)["id"])


def test_a_key_is_printed_alone_and_what_to_know_of_it_on_standard_error(run: Run, transport: ApiTransport) -> None:
    done = run("keys", "create", "--name", "app", "--model", "fast", "--model", "gpt-*", "--tag", "env=a=b")
    assert done.exit_code == 0, done.stderr
    id = own_id(done.stdout.removesuffix("\n"))
    assert id is not None
    assert done.stderr == f"made the key {id} for app; keep it, it is not shown again\n"
    assert sent(transport) == (
        "POST",
        "/admin/v1/keys",
        {"name": "app", "models": ["fast", "gpt-*"], "tags": {"env": "a=b"}},
    )


def test_programs_get_the_key_as_an_object(run: Run, transport: ApiTransport) -> None:
    done = run("keys", "create", "--name", "app", "--json")
    made = json.loads(done.stdout)
    assert own_id(made["key"]) == made["id"]
    assert done.stderr == ""


def test_a_foreign_key_comes_from_standard_input_and_is_not_printed(run: Run, transport: ApiTransport) -> None:
    done = run("keys", "create", "--name", "old", "--secret-stdin", stdin=f"{FOREIGN}\n")
    assert sent(transport)[2] == {"name": "old", "secret": FOREIGN}
    assert re.fullmatch(r"[0-9A-Za-z]{12}\n", done.stdout)
    assert "sk-foreign" not in done.output
    assert run("keys", "create", "--name", "old", "--secret-stdin", stdin="\n").exit_code == 2
    short = run("keys", "create", "--name", "old", "--secret-stdin", stdin="hunter22")
    assert short.exit_code == 2
    assert "hunter22" not in short.output


def test_every_problem_is_a_line_and_wrong_use_is_2(run: Run, transport: ApiTransport) -> None:
    done = run("keys", "create", "--name", "", "--model", "nothing", "--team", "none")
    assert done.exit_code == 2
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["name", "team", "models[0]"]
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


@pytest.mark.parametrize(
    "command",
    [
        ["keys", "show", ""],
        ["keys", "update", "", "--name", "x"],
        ["keys", "rotate", ""],
        ["keys", "disable", ""],
        ["keys", "enable", ""],
        ["keys", "delete", ""],
        ["teams", "show", ""],
        ["teams", "update", "", "--name", "x"],
        ["teams", "delete", ""],
        ["tokens", "delete", ""],
    ],
)
def test_an_empty_name_or_id_is_wrong_use_and_asks_nobody(
    run: Run, transport: ApiTransport, command: list[str]
) -> None:
    done = run(*command)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "an id or name is empty" in done.stderr
    assert not transport.sent


def test_a_store_that_is_away_is_1(run: Run, transport: ApiTransport) -> None:
    transport.api.store.away = True
    done = run("keys", "list")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "away" in done.stderr
    for command in (["keys", "list"], ["keys", "create", "--name", "a"], ["teams", "show", "a"], ["tokens", "list"]):
        told = run(*command, "--json")
        assert (told.exit_code, told.stdout, told.stderr) == (1, "", done.stderr), command


def test_keys_are_listed_as_a_table_whole_when_piped(run: Run, transport: ApiTransport) -> None:
    create_team(run, "research")
    first = create(run, "a" * 80, "--team", "research", "--owner", "ann", "--expires", "2999-01-31T12:00:00Z")
    second = create(run, "b", "--model", "fast")
    run("keys", "disable", second)
    lines = run("keys", "list").stdout.splitlines()
    assert lines[0].split() == ["ID", "NAME", "TEAM", "OWNER", "STATE", "MODELS", "EXPIRES", "LAST", "USED"]
    cells = {line.split()[0]: line.split()[1:] for line in lines[1:]}
    assert cells == {
        first: ["a" * 80, "research", "ann", "active", "all", "2999-01-31", "12:00", "never"],
        second: ["b", "-", "-", "disabled", "fast", "never", "never"],
    }
    assert [key["id"] for key in json.loads(run("keys", "list", "--owner", "ann", "--json").stdout)] == [first]
    assert sent(transport)[1] == "/admin/v1/keys?owner=ann&limit=1000"
    assert run("keys", "list", "--team", "none").exit_code == 2


def test_a_key_is_shown_with_where_each_list_comes_from(run: Run, transport: ApiTransport) -> None:
    team = create_team(run, "research", "--model", "gpt-*")
    id = create(run, "app", "--team", "research", "--model", "gpt-5", "--model", "fast")
    shown = run("keys", "show", id).stdout.splitlines()
    assert shown[2] == f"team       research ({team})"
    at = shown.index("models     gpt-5, fast  (from the key)")
    assert shown[at + 1] == "           gpt-*  (from the team research)"
    assert shown[at + 2] == "paths      all"
    assert "secrets    1: as long as the key" in shown
    assert json.loads(run("keys", "show", id, "--json").stdout)["allowed"]["models"][1]["from"] == "team"


def test_an_update_says_what_changes_and_what_is_cleared(run: Run, transport: ApiTransport) -> None:
    id = create(run, "app", "--path", "/chat/completions", "--owner", "ann", "--tag", "b=2", "--expires", "30d")
    done = run(
        *("keys", "update", id, "--model", "fast", "--all-paths", "--no-owner", "--expires", "never"),
        *("--tag", "a=1", "--untag", "b"),
    )
    assert done.stdout == f"changed {id} (app)\n"
    assert sent(transport)[2] == {
        "models": ["fast"], "paths": None, "owner": None, "expires": None, "tags": {"a": "1", "b": None},
    }  # fmt: skip
    key = json.loads(run("keys", "show", id, "--json").stdout)
    assert (key["models"], key["paths"], key["owner"], key["expires"]) == (["fast"], None, None, None)
    assert key["tags"] == {"a": "1"}
    for option, value in (("--no-content", False), ("--content", True)):
        assert run("keys", "update", id, option).exit_code == 0
        assert sent(transport)[2] == {"content": value}
        shown = run("keys", "show", id).stdout
        assert f"content    {'as configured' if value else 'never recorded'}\n" in shown
    for wrong in ([], ["--model", "a", "--all-models"], ["--team", "a", "--no-team"], ["--tag", "x"]):
        assert run("keys", "update", id, *wrong).exit_code == 2, wrong


def test_a_key_is_rotated_disabled_cut_enabled_and_deleted(run: Run, transport: ApiTransport) -> None:
    id = create(run, "app")
    rotated = run("keys", "rotate", id, "--overlap", "2h")
    assert own_id(rotated.stdout.removesuffix("\n")) == id
    until = datetime.now(UTC) + timedelta(hours=2)
    minutes = [(until + timedelta(minutes=late)).strftime("%Y-%m-%d %H:%M") for late in (-1, 0)]
    assert any(f"the old one is valid until {minute} UTC" in rotated.stderr for minute in minutes)
    assert run("keys", "rotate", id, "--overlap", "soon").stderr.startswith("overlap: expected a duration")
    assert run("keys", "rotate", id).exit_code == 0
    assert sent(transport)[2] == {"overlap": "24h"}
    assert run("keys", "disable", id, "--cut").stdout == f"disabled {id} (app)\n"
    assert sent(transport)[2] == {"cut": True}
    assert run("keys", "enable", id).stdout == f"enabled {id} (app)\n"
    assert run("keys", "delete", id).stdout == f"deleted {id}\n"
    assert json.loads(run("keys", "list", "--json").stdout) == []


def test_a_key_and_a_team_are_made_that_have_opted_out_of_texts(run: Run, transport: ApiTransport) -> None:
    for kind in ("teams", "keys"):
        made = json.loads(run(kind, "create", "--name", "q", "--no-content", "--json").stdout)
        assert (sent(transport)[2], made["content"]) == ({"name": "q", "content": False}, False)


def test_teams_go_by_name_or_id(run: Run, transport: ApiTransport) -> None:
    id = create_team(run, "a b/c", "--model", "gpt-*", "--tag", "x=y")
    by_name, by_id = run("teams", "show", "a b/c"), run("teams", "show", id)
    assert by_name.stdout == by_id.stdout
    assert "models    gpt-*" in by_name.stdout.splitlines()
    assert run("teams", "update", "a b/c", "--all-models", "--name", "d").stdout == f"changed {id} (d)\n"
    assert run("teams", "update", "d", "--state", "disabled").exit_code == 0
    assert run("teams", "update", "d", "--no-content").exit_code == 0
    assert sent(transport)[2] == {"content": False}
    assert "content   never recorded\n" in run("teams", "show", "d").stdout
    assert run("teams", "list").stdout.splitlines()[1].split()[:4] == [id, "d", "disabled", "all"]
    assert sent(transport)[1] == "/admin/v1/teams?limit=1000"
    assert run("teams", "show", "d").exit_code == 0
    assert [path for _, path, _ in transport.sent[-2:]] == ["/admin/v1/teams/d", f"/admin/v1/limits/team/{id}"]
    none = run("teams", "show", "none")
    assert (none.exit_code, none.stderr) == (1, "There is no team none.\n")
    again = run("teams", "create", "--name", "d")
    assert (again.exit_code, len(again.stderr.splitlines())) == (1, 1)
    key = create(run, "k", "--team", "d")
    assert run("teams", "delete", "d").exit_code == 1
    run("keys", "delete", key)
    assert run("teams", "delete", "d").stdout == f"deleted {id} (d)\n"


def test_a_token_is_printed_once(run: Run, transport: ApiTransport) -> None:
    done = run("tokens", "create", "--name", "ops", "--role", "admin")
    assert re.fullmatch(r"pen-admin-[\w-]{43}\n", done.stdout)
    assert "not shown again" in done.stderr
    listed = run("tokens", "list").stdout
    id, *cells = listed.splitlines()[1].split()
    assert cells[:2] == ["ops", "admin"]
    assert "pen-admin" not in listed
    assert run("tokens", "create", "--name", "x", "--role", "root").exit_code == 2
    assert run("tokens", "delete", id).stdout == f"deleted {id}\n"
    assert json.loads(run("tokens", "list", "--json").stdout) == []


def test_a_listing_of_many_pieces_is_one(run: Run, transport: ApiTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.cli.admin_client.PAGE", 2)
    ids = {create(run, f"k{number}") for number in range(5)}
    assert {key["id"] for key in json.loads(run("keys", "list", "--json").stdout)} == ids


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
