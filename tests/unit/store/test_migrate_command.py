"""`penstock migrate`: what it says and how it exits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from penstock.cli.root import root
from penstock.store.migrate import FOLDER, read_migrations

CONFIG = "providers: {{openai: {{api_key: x}}}}\ndata_dir: {data}\n{more}"
Migrate = Callable[..., Result]
OURS = [each.name for each in read_migrations(FOLDER / "sqlite")]


@pytest.fixture
def migrate(write: Callable[[str], str], tmp_path: Path) -> Migrate:
    """Runs the command on a configuration with these further lines."""

    def run(*arguments: str, more: str = "") -> Result:
        path = write(CONFIG.format(data=tmp_path / "data", more=more))
        return CliRunner().invoke(root, ["migrate", "-c", path, *arguments])

    return run


def test_it_says_what_was_applied_and_then_that_nothing_is_missing(migrate: Migrate, tmp_path: Path) -> None:
    place = tmp_path / "data" / "penstock.sqlite"
    first, second = migrate(), migrate()
    assert (first.exit_code, first.output) == (0, "".join(f"{place}: applied {name}\n" for name in OURS))
    assert (second.exit_code, second.output) == (0, f"{place}: up to date\n")


def test_it_tells_programs_the_same(migrate: Migrate, tmp_path: Path) -> None:
    place = str(tmp_path / "data" / "penstock.sqlite")
    said = [json.loads(migrate("--json").output) for _ in range(2)]
    assert said == [{"ok": True, "store": place, "applied": names} for names in (OURS, [])]


def test_it_works_where_the_gateway_may_not_migrate(migrate: Migrate) -> None:
    result = migrate(more="store: {url: sqlite, auto_migrate: false}\n")
    assert (result.exit_code, f"applied {OURS[-1]}" in result.output) == (0, True)


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_store_that_is_away_is_1_and_says_so_without_the_password(migrate: Migrate, arguments: list[str]) -> None:
    result = migrate(*arguments, more="store: postgresql://user:topsecret@127.0.0.1:1/db\n")
    assert result.exit_code == 1
    assert "PostgreSQL at 127.0.0.1:1 does not answer" in result.stderr
    assert result.stdout == ""
    assert "topsecret" not in result.output


def test_a_configuration_that_is_wrong_is_2(migrate: Migrate) -> None:
    result = migrate(more="store: mysql://x\n")
    assert result.exit_code == 2
    assert "store" in result.stderr
