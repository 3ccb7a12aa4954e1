"""`penstock import litellm`: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from penstock.cli.root import root

Run = Callable[..., Result]
CONFIG = """
model_list:
  - {model_name: gpt-4o, litellm_params: {model: openai/gpt-4o, api_key: sk-in-clear-0123456789, temperature: 1}}
"""
DUMP = f"token,key_alias,models,team_id,blocked\n{'a' * 64},prod,{{gpt-4o}},t1,f\n{'b' * 64},old,{{}},,t\n"
TEAMS = '[{"team_id": "t1", "team_alias": "Core", "models": ["gpt-4o"]}]'


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "keys.csv").write_text(DUMP)
    (tmp_path / "teams.json").write_text(TEAMS)

    def command(*arguments: str) -> Result:
        return CliRunner().invoke(root, ("import", "litellm", *arguments))

    return command


def test_the_configuration_is_printed_and_the_notes_go_to_standard_error(run: Run, tmp_path: Path) -> None:
    result = run("config.yaml")
    assert result.exit_code == 0
    assert yaml.safe_load(result.stdout)["models"] == {
        "gpt-4o": {"targets": [{"provider": "openai", "model": "gpt-4o"}]}
    }
    assert "- model_list[0].litellm_params.temperature: is a default for requests" in result.stderr
    assert "sk-in-clear" not in result.output
    assert not (tmp_path / "keys.jsonl").exists()


def test_files_are_written_for_their_owner_alone_and_pass_check(run: Run, tmp_path: Path) -> None:
    result = run("config.yaml", "--out", "penstock.yaml", "--keys", "keys.csv", "--teams", "teams.json")
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert result.stderr.splitlines()[-2:] == ["wrote penstock.yaml", "wrote keys.jsonl (1 keys)"]
    assert [json.loads(line) for line in (tmp_path / "keys.jsonl").read_text().splitlines()] == [
        {"sha256": "a" * 64, "name": "prod", "team": "Core", "models": ["gpt-4o"]}
    ]
    for name in ("penstock.yaml", "keys.jsonl"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    checked = CliRunner().invoke(root, ("check", "-c", "penstock.yaml"), env={"OPENAI_API_KEY": "x"})
    assert checked.exit_code == 0, checked.output
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.yaml", "keys.csv", "keys.jsonl", "penstock.yaml", "teams.json",
    ]  # fmt: skip


def test_programs_get_what_was_written_and_every_note(run: Run) -> None:
    result = run("config.yaml", "--json", "--out", "p.yaml", "--keys", "keys.csv", "--keys-out", "k.jsonl")
    found = json.loads(result.stdout)
    assert found["written"] == ["p.yaml", "k.jsonl"]
    assert found["variables"] == ["OPENAI_API_KEY"]
    assert found["teams"] == [{"name": "t1", "models": None, "limits": {}}]
    assert {"path": "keys: old", "reason": "is left out: it is blocked"} in found["notes"]
    assert all(set(note) == {"path", "reason"} for note in found["notes"])
    assert "config" not in found
    assert json.loads(run("config.yaml", "--json").stdout)["config"].startswith("# penstock.yaml, made by")


def test_nothing_is_replaced_without_force(run: Run, tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text("mine")
    result = run("config.yaml", "--out", "penstock.yaml")
    assert result.exit_code == 1
    assert result.stderr == "penstock.yaml is there already: name another file, or write --force to replace it\n"
    (tmp_path / "keys.jsonl").symlink_to(tmp_path / "gone")
    assert run("config.yaml", "--out", "new.yaml", "--keys", "keys.csv").exit_code == 1
    assert not (tmp_path / "new.yaml").exists()
    assert (tmp_path / "penstock.yaml").read_text() == "mine"
    assert run("config.yaml", "--out", "penstock.yaml", "--force").exit_code == 0
    assert (tmp_path / "penstock.yaml").read_text() != "mine"


def test_a_directory_that_is_not_there_is_said(run: Run) -> None:
    result = run("config.yaml", "--out", "no/where.yaml")
    assert result.exit_code == 1
    assert result.stderr == "no/where.yaml cannot be written: No such file or directory\n"


def test_a_wrong_file_is_2_with_its_place_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("model_list:\n  - model_name: *\n")
    result = run("config.yaml", "--out", "penstock.yaml")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[0].startswith("config.yaml:2:18: ")
    assert 'a word that begins with `*` stands in quotes: "*"' in result.stderr
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "keys.csv").write_text("id\n1\n")
    result = run("config.yaml", "--out", "penstock.yaml", "--keys", "keys.csv")
    assert result.exit_code == 2
    assert result.stderr.startswith("keys.csv:2:1: there is no column token")
    assert not (tmp_path / "penstock.yaml").exists()


def test_a_result_that_does_not_pass_is_written_with_what_is_missing_first(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("model_list: [{model_name: m, litellm_params: {model: bedrock/x}}]\n")
    result = run("config.yaml", "--out", "penstock.yaml")
    assert result.exit_code == 1
    assert result.stderr.startswith("- penstock.yaml: providers: no provider is configured")
    assert "# - penstock.yaml: providers: no provider is configured" in (tmp_path / "penstock.yaml").read_text()
    assert json.loads(run("config.yaml", "--json").stdout)["problems"] == 1


def test_teams_mean_nothing_without_keys(run: Run) -> None:
    assert run("config.yaml", "--teams", "teams.json").exit_code == 2
    assert run().exit_code == 2
    assert "LiteLLM" in run("--help").output
