"""Judges the measured rows by the budgets, prints them, keeps them.

`python -m bench.report --markdown FILE` prints a kept run, one of results/*.json, as the page it was.
"""

import argparse
import json
import sys
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.rows import Table, Values

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
# nginx this far from itself says that the machine was busy: a pass is then worth little, and is called so.
NOISY = 0.25
COLUMNS = ("direct", "nginx", "nginx_again")


@dataclass(frozen=True)
class Budget:
    """One table of budgets.toml; a row without a budget is shown and gates nothing."""

    about: str
    unit: str
    side: str = ""
    against: str = ""
    budget: float | None = None
    stretch: float | None = None
    at_least: bool = False
    past: str = ""
    """The row of requests that went past the gateway meanwhile: by how much they became slower, as a part of what the
    other requests take in calm, is spread."""


@dataclass(frozen=True)
class Verdict:
    """A row as it is shown: medians over the rounds; ratio and spread are medians of the rounds' own ratios."""

    name: str
    about: str
    unit: str
    medians: dict[str, float]
    ratio: float | None
    spread: float | None
    gate: str
    word: str
    why: str = ""
    side: str = ""
    mark: str = ""


def budgets() -> dict[str, Budget]:
    """The committed budgets by kind of row."""
    with (HERE / "budgets.toml").open("rb") as file:
        return {name: Budget(**entry) for name, entry in tomllib.load(file).items()}


def judge(values: Values, budget: Budget, subject: str, past: Values | None = None) -> Verdict:
    """One row: the subject, or the side that the budget names, against another of the same rounds or a figure. `past`:
    the row that the budget names so."""
    sides = {name: median(rounds) for name, rounds in values.by_side.items()}
    judged, mark = budget.side or subject, budget.against if budget.against not in ("", "absolute") else "nginx"
    ours, base, again = (values.by_side.get(name, []) for name in (judged, mark, f"{mark}_again"))
    spread = spread_of(base, again)
    if spread is None:
        spread = spread_of(values.by_side.get("nginx", []), values.by_side.get("nginx_again", []))
    ratio = ratio_of(ours, base, again)
    if past is not None and not values.void and not past.void and base and again:
        theirs = (past.by_side.get(name, []) for name in (judged, mark, f"{mark}_again"))
        more = [2 * (o - (a + b) / 2) / (c + d) for o, a, b, c, d in zip(*theirs, base, again, strict=True)]
        spread = max(spread or 0.0, median(more))

    word, why, gate = "info", "", ""
    if values.void:
        word, why = "VOID", values.void
    elif budget.budget is not None:
        relative = budget.against != "absolute"
        gate = f"{'≥' if budget.at_least else '≤'} {budget.budget:g}{f' of {mark}' if relative else ''}"
        if not ours:
            word, why = "VOID", f"{judged} was not measured"
        elif relative and ratio is None:
            word, why = "VOID", f"{mark} was not measured"
        else:
            value = ratio if relative and ratio is not None else sides[judged]
            allowed = spread or 0.0
            if not relative:
                allowed = abs(median(base) - median(again)) if base and again else 0.0
            missed = value < budget.budget - allowed if budget.at_least else value > budget.budget + allowed
            word = "MISS" if missed else "pass"
            if not missed and budget.stretch is not None:
                stretched = value >= budget.stretch if budget.at_least else value <= budget.stretch
                word = "pass, stretch" if stretched else "pass"
            if not missed and relative and allowed > NOISY:
                word = "pass, noisy"
    label = budget.about + (f", {values.variant}" if values.variant else "")
    return Verdict(values.name, label, budget.unit, sides, ratio, spread, gate, word, why, side=budget.side, mark=mark)


def ratio_of(ours: list[float], base: list[float], again: list[float]) -> float | None:
    """A side against another one, of which there may be two."""
    if not base or not ours:
        return None
    return median(2 * o / (a + b) for o, a, b in zip(ours, base, again or base, strict=False))


def spread_of(one: list[float], again: list[float]) -> float | None:
    """How far a side is from itself."""
    return abs(median(b / a for a, b in zip(one, again, strict=False)) - 1) if one and again else None


def verdicts(table: Table, subject: str, known: dict[str, Budget]) -> list[Verdict]:
    """All rows, kinds in the order of the budgets."""
    order = list(known)
    rows = sorted(table.rows.values(), key=lambda values: order.index(values.family))
    past = {values.family: values for values in rows}
    return [judge(values, known[values.family], subject, past.get(known[values.family].past)) for values in rows]


def markdown(found: list[Verdict], facts: dict[str, str], subject: str) -> str:
    """The run as a page: facts, a table of all sides, and one of what keys change."""
    lines = ["; ".join(f"{name} {value}" for name, value in facts.items() if value), ""]
    bare, keyed = [v for v in found if not v.side], [v for v in found if v.side]
    extra = sorted({name for v in bare for name in v.medians} - {*COLUMNS, subject})
    columns = [*COLUMNS, *extra, subject]
    if bare:
        lines += aligned([c.replace("_", " ") for c in columns], bare, lambda v: [v.medians.get(c) for c in columns])
    if keyed:
        lines += [*([""] if bare else []), "With keys and more: beside what the budget names, or beside calm.", ""]
        lines += aligned(["without", "with"], keyed, lambda v: [v.medians.get(v.mark), v.medians.get(v.side)])
    for why in dict.fromkeys(v.why for v in found if v.why):
        lines.append(f"\nVOID: {', '.join(v.name for v in found if v.why == why)}: {why}")
    return "\n".join(lines) + "\n"


def aligned(columns: list[str], found: list[Verdict], values: Callable[[Verdict], list[float | None]]) -> list[str]:
    """Lines of one table, a verdict each."""
    head = ["row", "unit", *columns, "ratio", "spread", "budget", ""]
    cells = [head, ["-" * 3] * len(head)]
    for v in found:
        measured = [figure(value) for value in values(v)]
        cells.append([v.about, v.unit, *measured, figure(v.ratio, 2), figure(v.spread, 2), v.gate, v.word])
    widths = [max(len(row[n]) for row in cells) for n in range(len(head))]
    return ["| " + " | ".join(t.ljust(width) for t, width in zip(row, widths, strict=True)) + " |" for row in cells]


def figure(value: float | None, digits: int | None = None) -> str:
    """Three figures that count, or as many digits as told."""
    if value is None:
        return ""
    if digits is not None:
        return f"{value:.{digits}f}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def page(found: list[Verdict], facts: dict[str, str], subject: str) -> str:
    """The run as results/latest.md holds it."""
    return f"# Benchmark of {facts['date']}, commit {facts['commit']}\n\n{markdown(found, facts, subject)}"


def keep(found: list[Verdict], table: Table, facts: dict[str, str], subject: str) -> Path:
    """Writes results/<date>-<commit>.json, every round in it, and results/latest.md; returns the former."""
    RESULTS.mkdir(exist_ok=True)
    rounds = {values.name: values.by_side for values in table.rows.values()}
    rows: list[dict[str, Any]] = [{**asdict(v), "rounds": rounds[v.name]} for v in found]
    path = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}-{facts['commit'].rstrip('+') or 'none'}.json"
    path.write_text(json.dumps({"facts": facts, "subject": subject, "rows": rows}, indent=1, ensure_ascii=False) + "\n")
    (RESULTS / "latest.md").write_text(page(found, facts, subject))
    return path


def kept(path: Path) -> str:
    """The page of a run that was kept."""
    run = json.loads(path.read_text())
    found = [Verdict(**{name: value for name, value in row.items() if name != "rounds"}) for row in run["rows"]]
    return page(found, run["facts"], run["subject"])


def failed(found: list[Verdict]) -> bool:
    """Whether the run must not pass: a budget missed, or a row that says nothing."""
    return any(v.word in ("MISS", "VOID") for v in found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.report", description="Prints a kept run as its page.")
    parser.add_argument("--markdown", type=Path, required=True, metavar="FILE", help="one of bench/results/*.json")
    sys.stdout.write(kept(parser.parse_args().markdown))
