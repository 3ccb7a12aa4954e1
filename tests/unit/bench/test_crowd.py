"""Wrong keys and cold keys: what becomes of the driver's word."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import crowd, keys
from bench.machine import BenchError
from bench.rows import Options, Table
from penstock.keys.secret import new_key_text, own_id
from tests.unit.bench.standing import Standing

MOCK = SimpleNamespace(plain="127.0.0.1:2")
ADDED = {"alone": 100.0, "calm": 200.0, "calm_again": 220.0, "storm": 300.0, "cold": 310.0}
RESULT: dict[str, Any] = {
    **{phase: {"added_us": {"p99": value}, "past": {"added_us": {"p99": value / 2}}} for phase, value in ADDED.items()},
    "refused_per_s": 4990.0,
    "seconds": 9.0,
    "pss_kib_peak": 92160,
    "pss_kib_after": 40960,
}


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("Many", "Keyed"):
        monkeypatch.setattr(crowd, kind, Standing)
    monkeypatch.setattr(keys, "hashed", lambda _: [keys.Hashed(new_key_text().text, "")])


def stormed(tmp_path: Path, result: dict[str, Any], rounds: int = 1) -> tuple[Table, list[list[str]]]:
    """The rows of a storm, and the keys that were shown in each round."""
    table, shown = Table(), []

    def drive(_: str, options: Options) -> dict[str, Any]:
        shown.append(Path(options["keys"]).read_text().splitlines())
        assert (options["key"], options["past"]) == ("sk-good", MOCK.plain)
        return result

    crowd.storm(rounds, 0.1, drive, MOCK, tmp_path, table)  # type: ignore[arg-type]
    return table, shown


def test_a_storm_stands_beside_the_calm_before_and_after_it(tmp_path: Path) -> None:
    table, _ = stormed(tmp_path, RESULT)
    by_side = table.row("storm_p99", "").by_side
    assert by_side == {"calm": [200.0], "calm_again": [220.0], "penstock_keys": [300.0]}
    past = table.row("storm_past", "").by_side
    assert past == {"calm": [100.0], "calm_again": [110.0], "penstock_keys": [150.0]}


def test_each_round_guesses_secrets_of_other_ids(tmp_path: Path) -> None:
    _, (one, two) = stormed(tmp_path, RESULT, rounds=2)
    assert not {own_id(text) for text in one} & {own_id(text) for text in two}


def test_a_storm_that_the_driver_could_not_raise_voids_its_rows(tmp_path: Path) -> None:
    table, _ = stormed(tmp_path, RESULT | {"refused_per_s": 3000.0})
    assert "only 3000" in table.row("storm_p99", "").void


def test_an_error_while_keys_are_cold_voids_those_rows_alone(tmp_path: Path) -> None:
    def drive(_: str, options: Options) -> dict[str, Any]:
        raise BenchError("3 of 1000 keys were not let in within 60 s")

    table = Table()
    crowd.cold(1, 0.1, drive, MOCK, tmp_path, table)  # type: ignore[arg-type]
    assert {row.family for row in table.rows.values() if row.void} == crowd.COLD


def test_cold_keys_give_a_time_a_tail_and_a_peak(tmp_path: Path) -> None:
    table = Table()
    crowd.cold(1, 0.1, lambda *_: RESULT, MOCK, tmp_path, table)  # type: ignore[arg-type]
    found = {row.family: row.by_side["penstock_keys"] for row in table.rows.values()}
    rest = {"cold_memory": [90.0], "cold_after": [40.0], "cold_alone": [100.0], "cold_past": [155.0]}
    assert found == {"cold_seconds": [9.0], "cold_p99": [310.0], **rest}
