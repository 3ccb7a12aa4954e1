"""Commands straight on the store: a real SQLite file, the real router, and nothing left behind."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path

import pytest

from penstock.cli.admin_local import LocalTransport
from penstock.config.load import load
from penstock.keys.secret import own_id
from tests.unit.cli.conftest import Run
from tests.unit.cli.test_admin_client import free_address


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A configuration whose process does not run."""
    (tmp_path / "penstock.yaml").write_text(
        f"admin: {{listen: '{free_address()}'}}\ndata_dir: {tmp_path}/data\nproviders: {{openai: {{api_key: x}}}}\n"
        "models: {fast: {targets: [{provider: openai}]}}\n"
    )
    return tmp_path


def test_a_key_is_made_shown_and_deleted_where_no_process_runs(run: Run, here: Path) -> None:
    made = run("keys", "create", "--name", "app", "--model", "fast")
    assert made.exit_code == 0, made.output
    id = own_id(made.stdout.strip())
    assert id is not None
    assert (here / "data").stat().st_mode & 0o777 == 0o700
    assert (here / "data/penstock.sqlite").stat().st_mode & 0o777 == 0o600
    assert not (here / "data/admin.token").exists()
    assert json.loads(run("keys", "show", id, "--json").stdout)["models"] == ["fast"]
    assert run("keys", "delete", id).exit_code == 0
    assert run("keys", "show", id).exit_code == 1
    secret = made.stdout.strip().encode()
    assert not [path for path in (here / "data").iterdir() if secret in path.read_bytes()]


def test_a_model_that_leads_nowhere_is_refused_with_what_may_be_meant(run: Run, here: Path) -> None:
    done = run("keys", "create", "--name", "app", "--model", "fsat", "--model", "opnai/x", "--network", "10.0.0.1/8")
    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        "models[0]: 'fsat' leads to no model (did you mean 'fast'?)",
        "models[1]: 'opnai/x' leads to no model (did you mean 'openai/x'?)",
        "networks[0]: is no network in CIDR notation; did you mean '10.0.0.0/8'?",
    ]


def test_the_log_of_changes_names_the_user_of_the_system(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    assert run("teams", "create", "--name", "research").exit_code == 0
    transport = LocalTransport(load(str(here / "penstock.yaml"), os.environ), os.environ)
    try:
        status, answer = transport.call("GET", "/admin/v1/changes?limit=5")
    finally:
        transport.close()
    assert status == 200
    assert [(each["actor"], each["action"]) for each in answer["items"]] == [("cli:ann", "team.create")]


def test_status_and_reload_belong_to_a_running_process(here: Path) -> None:
    transport = LocalTransport(load(str(here / "penstock.yaml"), os.environ), os.environ)
    try:
        assert transport.call("GET", "/admin/v1/status")[0] == 404
    finally:
        transport.close()
        transport.close()


def test_nothing_is_left_in_the_process(run: Run, here: Path) -> None:
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        assert run("keys", "list").exit_code == 0
    assert len(os.listdir("/proc/self/fd")) <= before[1]
    assert threading.active_count() <= before[0] + 2  # hashing threads that have nothing to do end by themselves
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


def test_a_store_that_cannot_be_used_is_1_and_said(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "data").write_text("a file where the directory should be")
    done = run("keys", "list")
    assert done.exit_code == 1
    assert done.stderr.startswith(f"the store cannot be used: {here}/data")
    (here / "data").unlink()
    (here / "data").mkdir()
    (here / "data/penstock.sqlite").write_text("this is no database, whatever its name says" * 100)
    done = run("keys", "list")
    assert done.exit_code == 1
    assert done.stderr.startswith("the store cannot be used: ")
    assert "Traceback" not in done.output


def test_without_auto_migrate_the_command_that_migrates_is_named(run: Run, here: Path) -> None:
    with (here / "penstock.yaml").open("a") as file:
        file.write("store: {url: sqlite, auto_migrate: false}\n")
    done = run("keys", "list")
    assert done.exit_code == 1
    assert "penstock migrate" in done.stderr


def test_a_postgres_that_is_not_there_is_1_and_shows_no_password(run: Run, here: Path) -> None:
    with (here / "penstock.yaml").open("a") as file:
        file.write(f"store: 'postgresql://u:hunter22@{free_address()}/db?sslmode=disable'\n")
    done = run("keys", "list")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "hunter22" not in done.output
    assert "does not answer" in done.stderr


def test_two_commands_at_once_both_do_their_part(here: Path) -> None:
    loaded = load(str(here / "penstock.yaml"), os.environ)
    first, second = LocalTransport(loaded, os.environ), LocalTransport(loaded, os.environ)
    try:
        for transport in (first, second, first):
            assert transport.call("POST", "/admin/v1/keys", {"name": "a"})[0] == 201
        assert len(second.call("GET", "/admin/v1/keys")[1]["items"]) == 3
    finally:
        first.close()
        second.close()


def test_an_import_is_taken_over_with_its_digest_alone(run: Run, here: Path) -> None:
    (here / "keys.csv").write_text(f"name,sha256,models\nold,{'a1' * 32},fast\n")
    assert run("keys", "import", "keys.csv").stdout == "imported 1 keys; 0 were there already\n"
    assert run("keys", "import", "keys.csv").stdout == "imported 0 keys; 1 were there already\n"
