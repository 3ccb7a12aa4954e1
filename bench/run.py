"""`make bench`: Penstock beside nginx, nginx beside itself, in alternating rounds; fails when a budget is missed."""

import argparse
import functools
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

if __package__ in (None, ""):  # run as a file: the package is this file's directory
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench import accounts, crowd, load, machine, report, rows, sides
from bench.machine import BenchError
from bench.rows import Cell, Driver, Table
from bench.sides import Side

T = TypeVar("T")
IDLE_CONNECTIONS = 10_000
OPEN_STREAMS = 1_000
# What a server takes differs from one second to the next: several short looks a round are worth more than a long one.
LOOKS = 2
# Where the kernel puts the three ends of a connection decides whether each step of a small exchange wakes a sleeping
# core, which takes several times what is measured. It stays so until cores are busy: other loads come between looks.
PLACES = 5
# Who else is measured where rows are about it.
BESIDE = {
    "keys": crowd.SIDE,
    "limits": "penstock_limits",
    "governed": "penstock_governed",
    "shared": crowd.SHARED_SIDE,
    "refused": "penstock_refusing",
}
METHOD = (
    "added = client's time less the mock's own by its stamps, the floor (direct) not taken out; every byte of every "
    "answer checked; medians of the rounds, ratio and spread medians of each round's; gate = budget + spread; "
    "a 1 KB request and answer where no size is named"
)


@contextmanager
def started(names: list[str], mock: load.Mock, at: Path) -> Iterator[list[Side]]:
    """All of these up at once; ended behind it, whatever happens."""
    up: list[Side] = []
    try:
        for name in names:
            side = sides.make(name, mock, at)
            up.append(side)
            side.start()
        for side in up:
            side.rest()
        yield up
    finally:
        for side in up:
            side.stop()


def steady(names: list[str], cells: list[Cell], rounds: int, drive: Driver, mock: load.Mock, at: Path) -> Table:
    """Latency, CPU and streams: all servers up, sides alternating within each cell."""
    table = Table()
    with started(names, mock, at) as up:
        for number in range(rounds):
            for cell in cells:
                rows.run(cell, turned(up, number), drive, table)
            say(f"round {number + 1} of {rounds}")
    return table


def fresh(names: list[str], cells: list[Cell], rounds: int, drive: Driver, mock: load.Mock, at: Path) -> Table:
    """Memory and start-up: a new instance for each value, one at a time; ours with keys, as it is by default."""
    table = Table()
    for number in range(rounds):
        for cell in cells:
            for name in turned(names, number):
                side = sides.make(name, mock, at / f"{cell.mode}-{number}", sides.FRESH)
                try:
                    table.add("start", "", name, side.start())
                    side.rest()
                    rows.run(cell, [side], drive, table)
                finally:
                    side.stop()
        say(f"memory, round {number + 1} of {rounds}")
    return table


def among(cell: Cell, loads: list[Cell]) -> list[Cell]:
    """The cell at `PLACES` places among these, or before each of them if they are fewer."""
    places = {number * len(loads) // PLACES for number in range(PLACES)}
    return [one for number, load in enumerate(loads) for one in ([cell, load] if number in places else [load])]


def turned(items: Iterable[T], by: int) -> list[T]:
    """The items from another beginning, so that no side always goes first."""
    items = list(items)
    by %= max(1, len(items))
    return items[by:] + items[:by]


def say(text: str) -> None:
    """Progress, apart from the table."""
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", file=sys.stderr, flush=True)


def arguments(words: list[str]) -> argparse.Namespace:
    """The command line; the defaults are what budgets are judged by."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="of every measuring time")
    parser.add_argument("--subject", default="penstock", choices=["penstock", "trial"], help="whom the budgets judge")
    parser.add_argument("--only", nargs="*", default=[], choices=list(report.budgets()), help="kinds of rows")
    parser.add_argument("--smoke", action="store_true", help="the short version with wide margins: bench/smoke.py")
    parser.add_argument("--no-keep", action="store_true", help="do not write results/")
    return parser.parse_args(words)


def prepare() -> None:
    """What every run needs."""
    if machine.find("nginx") is None:
        raise BenchError("nginx is missing, the mark to compare with: apt-get install --yes nginx-light")
    machine.raise_file_limit()


def measure(told: argparse.Namespace, at: Path) -> Table:
    """All rows that were asked for."""
    prepare()
    program = load.binary()
    drive = functools.partial(load.drive, program)
    scale, threads = told.scale, max(1, machine.cores() // 4)
    loads = [*LOOKS * rows.flow(0.7 * scale, threads), *LOOKS * rows.streams(1.5 * scale, 50)]
    cells = [*rows.latency(0.5 * scale)[1:], *among(rows.latency(0.3 * scale)[0], loads), *rows.paced(2.0 * scale)]
    memory = [rows.idle(IDLE_CONNECTIONS), rows.held(OPEN_STREAMS)]
    wanted = set(told.only) or set(report.budgets())
    if told.only:
        cells = [cell for cell in cells if wanted & cell.rows.keys()]
        # Any fresh instance tells how long it took to start.
        memory = [cell for cell in memory if wanted & {*cell.rows, "start"}]
    others = [name for name in ("trial",) if name != told.subject and sides.available(name)]
    with load.Mock(program, at, max(1, machine.cores() // 2)) as mock:
        names = ["direct", "nginx", "nginx_again", *others, told.subject]
        if told.subject == "penstock":
            topics = {rows.topic_of(family) for cell in cells for family in cell.rows}
            names += [name for topic, name in BESIDE.items() if topic in topics]
        table = steady(names, cells, told.rounds if cells else 0, drive, mock, at)
        table.rows |= fresh(["nginx", *others, told.subject], memory, told.rounds, drive, mock, at).rows
        if told.subject == "penstock":
            with_keys(wanted, told.rounds, scale, drive, mock, at, table)
            accounting(wanted, told.rounds, scale, drive, mock, at, table)
    return table


def with_keys(
    wanted: set[str], rounds: int, scale: float, drive: Driver, mock: load.Mock, at: Path, table: Table
) -> None:
    """What keys in great numbers do, and one key whose limits are shared, as far as it was asked for."""
    if wanted & crowd.BUSY:
        crowd.commands(rounds, 2.0 * scale, drive, mock, at, table)
        say("commands to Redis")
    if wanted & crowd.STARTS:
        crowd.starts(rounds, mock, at, table)
        say("starts with 100,000 keys")
    if wanted & crowd.STORM:
        crowd.storm(rounds, 4 * scale, drive, mock, at, table)
        say("storm of wrong keys")
    if wanted & crowd.COLD:
        crowd.cold(rounds, 4 * scale, drive, mock, at, table)
        say("cold keys")


def accounting(
    wanted: set[str], rounds: int, scale: float, drive: Driver, mock: load.Mock, at: Path, table: Table
) -> None:
    """What records and counted tokens come to, as far as it was asked for."""
    if wanted & accounts.JOURNAL:
        accounts.journal(rounds, at, table)
        say("journal")
    if wanted & accounts.TOKENS:
        accounts.tokens(rounds, table)
        say("tokens")
    if wanted & accounts.SHIPPED:
        accounts.shipping(rounds, 3.0 * scale, drive, mock, at, table)
        say("shipping")
    if wanted & accounts.TAIL:
        accounts.tail(rounds, 2.0 * scale, drive, mock, at, table)
        say("live tail")


def main(words: list[str]) -> int:
    """Measures, prints, keeps, judges."""
    told = arguments(words)
    if told.smoke:
        from bench import smoke  # which is made of this module's parts

        return smoke.main(told.subject)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as directory:
        facts = {"date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", **machine.facts(Path(directory))}
        facts |= {"rounds": str(told.rounds), "method": METHOD}
        try:
            table = measure(told, Path(directory))
        except BenchError as error:
            say(f"error: {error}")
            return 2
    found = report.verdicts(table, told.subject, report.budgets())
    print(report.markdown(found, facts, told.subject))
    if not told.no_keep:
        say(f"kept in {report.keep(found, table, facts, told.subject).relative_to(machine.ROOT)}")
    say(f"took {time.monotonic() - began:.0f} s")
    return 1 if report.failed(found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
