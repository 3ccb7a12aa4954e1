"""The judge of the benchmark: what passes, what misses, what says nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import report, rows, smoke
from bench.machine import BenchError
from bench.report import Budget
from bench.rows import Cell, Table, Values, at, run
from bench.run import among
from bench.sides import Many, Side

RATIO = Budget("row", "µs", "", "nginx", 1.05, 0.8)


def values(**sides: list[float]) -> Values:
    """A row with these rounds."""
    return Values("added_p50", "", sides)


def word(row: Values, budget: Budget) -> str:
    """The judgement alone."""
    return report.judge(row, budget, "penstock").word


def test_a_ratio_is_the_median_of_the_rounds_ratios_so_that_drift_does_not_count() -> None:
    row = values(nginx=[100, 200, 400], nginx_again=[100, 200, 400], penstock=[90, 180, 360])
    judged = report.judge(row, RATIO, "penstock")
    assert judged.ratio == pytest.approx(0.9)
    assert judged.spread == pytest.approx(0.0)
    assert judged.word == "pass"


def test_the_gate_is_the_budget_plus_what_nginx_differs_from_itself() -> None:
    ours = [113.0] * 3
    assert word(values(nginx=[100] * 3, nginx_again=[100] * 3, penstock=ours), RATIO) == "MISS"
    assert word(values(nginx=[95] * 3, nginx_again=[105] * 3, penstock=ours), RATIO) == "pass"


def test_a_pass_that_noise_alone_could_explain_is_called_noisy() -> None:
    assert word(values(nginx=[100] * 3, nginx_again=[200] * 3, penstock=[79] * 3), RATIO) == "pass, noisy"


def test_a_ratio_within_the_stretch_is_named() -> None:
    assert word(values(nginx=[100], nginx_again=[100], penstock=[79]), RATIO) == "pass, stretch"


def test_where_more_is_better_less_is_a_miss() -> None:
    budget = Budget("row", "1/s", "", "nginx", 0.8, 1.0, at_least=True)
    assert word(values(nginx=[100], nginx_again=[100], penstock=[79]), budget) == "MISS"
    assert word(values(nginx=[100], nginx_again=[100], penstock=[81]), budget) == "pass"


def test_an_absolute_budget_needs_no_nginx() -> None:
    budget = Budget("row", "MiB", "", "absolute", 32)
    assert word(values(penstock=[31, 33, 31]), budget) == "pass"
    assert word(values(penstock=[31, 33, 33]), budget) == "MISS"


def test_a_side_with_keys_is_judged_by_the_one_without_and_by_the_spread_of_nginx() -> None:
    budget = Budget("row", "µs", "penstock_keys", "penstock", 1.05)
    calm = {"nginx": [100.0] * 3, "nginx_again": [100.0] * 3, "penstock": [90.0] * 3}
    assert word(values(**calm, penstock_keys=[94] * 3), budget) == "pass"
    assert word(values(**calm, penstock_keys=[96] * 3), budget) == "MISS"
    assert word(values(**calm | {"nginx_again": [102.0] * 3}, penstock_keys=[96] * 3), budget) == "pass"
    assert word(values(nginx=[100], nginx_again=[100], penstock_keys=[94]), budget) == "VOID"


def test_what_happens_in_a_storm_is_judged_by_the_calm_around_it() -> None:
    budget = Budget("row", "µs", "penstock_keys", "calm", 1.5)
    assert word(values(calm=[200], calm_again=[200], penstock_keys=[299]), budget) == "pass"
    assert word(values(calm=[200], calm_again=[200], penstock_keys=[301]), budget) == "MISS"
    assert word(values(calm=[180], calm_again=[220], penstock_keys=[301]), budget) == "pass"


def test_what_requests_past_the_gateway_notice_of_a_storm_is_spread() -> None:
    known = {
        "storm": Budget("row", "µs", "penstock_keys", "calm", 1.5, past="past"),
        "past": Budget("past", "µs", "penstock_keys", "calm"),
    }

    def words(past: float) -> list[str]:
        table = Table()
        for side, us, beside in (("calm", 200, 100), ("calm_again", 200, 100), ("penstock_keys", 340, past)):
            table.add("storm", "", side, us)
            table.add("past", "", side, beside)
        return [verdict.word for verdict in report.verdicts(table, "penstock", known)]

    assert words(past=135) == ["MISS", "info"]
    assert words(past=145) == ["pass", "info"]
    assert words(past=90) == ["MISS", "info"]


def test_a_row_that_broke_off_is_void_and_costs_no_other_its_word() -> None:
    row = values(calm=[200, 200], calm_again=[200, 200], penstock_keys=[340])
    row.void = "3 keys were told nothing"
    past = Values("past", "", {"calm": [100.0], "calm_again": [100.0], "penstock_keys": [100.0]})
    budget = Budget("row", "µs", "penstock_keys", "calm", 1.5, past="past")
    assert report.judge(row, budget, "penstock", past).word == "VOID"


def test_rows_about_keys_have_a_table_of_their_own() -> None:
    table = Table()
    for side, value in {"nginx": 100.0, "nginx_again": 101.0, "penstock": 90.0, "penstock_keys": 93.0}.items():
        table.add("keys_p50", "1 KB", side, value)
        if side != "penstock_keys":
            table.add("added_p50", "1 KB", side, value)
    known = {"added_p50": RATIO, "keys_p50": Budget("with a key", "µs", "penstock_keys", "penstock", 1.05)}
    bare, keyed = report.markdown(report.verdicts(table, "penstock", known), {}, "penstock").split("With keys")
    assert "without" not in bare
    assert "penstock_keys" not in bare
    assert [cell.strip() for cell in keyed.splitlines()[-1].split("|")[3:6]] == ["90.0", "93.0", "1.03"]


def test_an_error_voids_the_row_and_fails_the_run() -> None:
    row = values(nginx=[100], nginx_again=[100], penstock=[79])
    row.void = "penstock: not a 200"
    judged = report.judge(row, RATIO, "penstock")
    assert judged.word == "VOID"
    assert report.failed([judged])


def test_a_row_without_the_subject_is_void() -> None:
    assert word(values(nginx=[100], nginx_again=[100]), RATIO) == "VOID"


def test_a_row_without_a_budget_is_only_shown() -> None:
    assert word(values(penstock=[1]), Budget("row", "µs")) == "info"


def test_every_row_that_can_be_measured_has_an_entry_in_the_budgets() -> None:
    from bench import accounts, crowd, rows

    cells = [*rows.latency(1), *rows.flow(1, 1), *rows.streams(1, 1), *rows.paced(1), rows.idle(1), rows.held(1)]
    measured = set().union(*(cell.rows for cell in cells)) | {"start"}
    apart = crowd.STARTS | crowd.STORM | crowd.COLD | crowd.BUSY | accounts.JOURNAL | accounts.TOKENS | accounts.TAIL
    apart |= accounts.SHIPPED
    assert measured | apart == set(report.budgets())


def test_the_smoke_test_is_wider_than_the_benchmark_and_judges_no_tails() -> None:
    known = report.budgets()
    assert smoke.widened("cpu_request", known["cpu_request"]).budget == 2.0
    assert smoke.widened("added_p50", known["added_p50"]).budget == 5.0
    assert smoke.widened("requests", known["requests"]).budget == 0.5
    assert smoke.widened("idle", known["idle"]).budget == 64
    assert smoke.widened("added_p99", known["added_p99"]).budget is None


def test_the_smallest_exchange_is_looked_at_between_other_loads() -> None:
    smallest, load = rows.latency(1.0)[0], rows.flow(1.0, 1)[0]
    for loads, order in [(4, "SLSLSLSL"), (5, "SLSLSLSLSL"), (12, "SLLSLLSLLLSLLSLLL")]:
        cells = among(smallest, loads * [load])
        assert "".join("S" if cell is smallest else "L" for cell in cells) == order


def test_an_error_of_the_driver_voids_only_its_own_rows(tmp_path: os.PathLike[str]) -> None:
    def drive(mode: str, options: dict[str, str]) -> dict[str, float]:
        if mode == "bad":
            raise BenchError("not a 200")
        return {"requests_per_s": 5.0}

    side = Side("penstock", mock=None, directory=tmp_path, plain="127.0.0.1:1")  # type: ignore[arg-type]
    side.process = subprocess.Popen([sys.executable, "-c", ""])
    side.process.wait()
    table = Table()
    for mode in ("bad", "good"):
        run(Cell(mode, mode, {}, {"requests": at("requests_per_s")}), [side], drive, table)
    assert table.row("requests", "bad").void
    assert table.row("requests", "good").by_side == {"penstock": [5.0]}


def test_the_side_with_many_keys_speaks_to_rows_about_keys_and_shows_its_key(tmp_path: Path) -> None:
    driven: list[dict[str, str]] = []

    def drive(_: str, options: dict[str, str]) -> dict[str, dict[str, float]]:
        driven.append(options)
        return {"penstock": {"value": 5.0}, "penstock_keys": {"value": 6.0}}

    bare = Side("penstock", mock=None, directory=tmp_path, plain="127.0.0.1:1")  # type: ignore[arg-type]
    many = Many("penstock_keys", None, tmp_path, plain="127.0.0.1:2", key="sk-1")  # type: ignore[arg-type]
    for side in (bare, many):
        side.process = subprocess.Popen([sys.executable, "-c", ""])
        side.process.wait()
    table = Table()
    read = {"added_p50": at("value")}
    run(Cell("bare", "duel", {}, read), [bare, many], drive, table)
    run(Cell("keyed", "duel", {}, read | {"keys_p50": at("value")}), [bare, many], drive, table)
    assert [options["targets"] for options in driven] == [
        "penstock=127.0.0.1:1=bench",
        "penstock=127.0.0.1:1=bench,penstock_keys=127.0.0.1:2=bench=sk-1",
    ]
    assert table.row("added_p50", "keyed").by_side == {"penstock": [5.0]}
    assert table.row("keys_p50", "keyed").by_side == {"penstock": [5.0], "penstock_keys": [6.0]}


def test_a_kept_run_prints_as_the_page_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    table = Table()
    for side, value in {"nginx": 100.0, "nginx_again": 100.0, "penstock": 90.0}.items():
        table.add("added_p50", "1 KB, plain", side, value)
    found = report.verdicts(table, "penstock", {"added_p50": RATIO})
    path = report.keep(found, table, {"date": "today", "commit": "abc1234+"}, "penstock")
    assert report.kept(path) == (tmp_path / "latest.md").read_text()
    assert json.loads(path.read_text())["rows"][0]["rounds"]["penstock"] == [90.0]
