"""The command line."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import yaml

from penstock import __version__
from penstock.cli.root import COMMANDS
from tests.unit.cli.conftest import Run


def test_help_names_every_command(run: Run) -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert all(name in result.output for name in COMMANDS)


def test_version_is_shown_for_people_and_programs(run: Run) -> None:
    assert run("version").output == f"penstock {__version__}\n"
    assert json.loads(run("version", "--json").output) == {"version": __version__}


def test_wrong_use_is_2(run: Run) -> None:
    assert run("nothing").exit_code == 2
    assert run("serve", "--ready-fd", "x").exit_code == 2


def test_check_says_ok_or_everything_that_is_wrong(run: Run, write: Callable[[str], str]) -> None:
    path = write("providers: {openai: {api_key: x}}\n")
    assert run("check", "-c", path).output == f"{path}: ok (providers: 1, models: 0)\n"
    assert run("check", PENSTOCK_CONFIG=path).exit_code == 0
    path = write("providers: {openai: {api_key: x}}\nlistn: x\nworkers: 0\n")
    result = run("check", "-c", path)
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        f"{path}:2:1: listn: unknown field (did you mean 'listen'?)",
        f"{path}:3:10: workers: expected 1 to 1024, not '0'",
        "2 problems in the configuration",
    ]


def test_the_file_may_stand_before_the_command_and_the_one_after_it_wins(run: Run, write: Callable[[str], str]) -> None:
    path = write("providers: {openai: {api_key: x}}\n")
    assert run("-c", path, "check").output == f"{path}: ok (providers: 1, models: 0)\n"
    assert run("-c", "/not/there", "check", "-c", path).exit_code == 0
    assert run("-c", path, "config", "show").output.startswith(f"# from {path}\n")
    assert run("-c", path, "version").exit_code == 0
    assert run("-c", "/not/there", "serve").exit_code == 2
    assert run("version", "-c", path).exit_code == 2


def test_check_tells_programs_the_same(run: Run, write: Callable[[str], str]) -> None:
    path = write("providers: {openai: {api_key: x}}\nlistn: x\n")
    result = run("check", "-c", path, "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["errors"][0] | {"hint": ""} == {
        "file": path, "line": 2, "column": 1, "field": "listn", "message": "unknown field", "hint": "",
    }  # fmt: skip


def test_check_warns_of_what_is_hardly_meant(run: Run, write: Callable[[str], str]) -> None:
    mine = "mine: {dialect: openai, base_url: http://127.0.0.1:1/v1}"
    path = write(f"providers: {{{mine}}}\nlimits: {{default: {{budget: 20 usd/day}}}}\n")
    result = run("check", "-c", path)
    assert (result.exit_code, result.stdout) == (0, f"{path}: ok (providers: 1, models: 0)\n")
    assert result.stderr.startswith("warning: there is a budget, and no price of mine/")
    (warning,) = json.loads(run("check", "-c", path, "--json").stdout)["warnings"]
    assert f"warning: {warning}\n" == result.stderr


def test_check_prints_the_schema(run: Run) -> None:
    assert json.loads(run("check", "--schema").output)["title"] == "penstock.yaml"


def test_config_show_prints_the_merged_result_with_secrets_hidden(run: Run, write: Callable[[str], str]) -> None:
    path = write("providers: {openai: {api_key: sk-literal}}\n")
    result = run("config", "show", "-c", path, PENSTOCK_MAX_ATTEMPTS="2")
    assert result.output.startswith(f"# from {path}\n")
    shown = yaml.safe_load(result.output)
    assert (shown["max_attempts"], shown["providers"]["openai"]["api_key"]) == (2, "********")
    assert json.loads(run("config", "show", "-c", path, "--json").output)["max_attempts"] == 4
    assert "sk-literal" not in result.output


@pytest.mark.parametrize("arguments", [["check"], ["config", "show"], ["serve"]])
def test_without_anything_configured_it_says_what_to_write_and_exits_with_2(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "set OPENAI_API_KEY, ANTHROPIC_API_KEY or OLLAMA_HOST, or write penstock.yaml" in result.stderr
