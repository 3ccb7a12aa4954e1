"""What an extension that counts is shown for `make profile`: `loads`, the benchmark's own and some text; or `kinds`,
the answers of every kind.
"""

import functools
import importlib.util
import sys
import tempfile
from pathlib import Path

from bench import load, machine, rows, run
from bench.machine import BenchError
from bench.sides import Side
from penstock.tokens import count
from tests.support import texts
from tests.support.gateway import Gateway
from tests.support.kinds import ALL, Kind
from tests.support.loop import LoopThread
from tests.support.scene import ask, config_of
from tests.support.script import Script, answer, stream
from tests.support.upstream import Upstream

SIDES = [
    "penstock",
    "penstock_keys",
    "penstock_limits",
    "penstock_shared",
    "penstock_refusing",
    "penstock_governed",
]
# Of each kind of answer, streamed and not; profile.sh says how much each weighs.
ANSWERS = 1_500
# Little beside the requests, or the compiler takes these for what hardly ever happens.
TEXT_CHARACTERS = 500_000
SECONDS = 2.0
DRIVER_THREADS = 1


def loads(at: Path) -> None:
    """Bare, governed and refused, plain and TLS, small and large, streamed and not."""
    run.prepare()
    program = load.binary()
    drive = functools.partial(load.drive, program)
    cells = [*rows.latency(SECONDS), *rows.flow(SECONDS, DRIVER_THREADS), *rows.streams(SECONDS, 50)]
    table = rows.Table()
    with load.Mock(program, at, max(1, machine.cores() // 2)) as mock, run.started(SIDES, mock, at) as up:
        for cell in cells:
            rows.run(cell, up, drive, table)
    _check(up, table)
    _texts()


def _check(up: list[Side], table: rows.Table) -> None:
    """Who was killed has written no counts; a row that is void is a load that was not."""
    for side in up:
        if side.exit_code != 0:
            raise BenchError(f"{side.name} ended with {side.exit_code}")
    for values in table.rows.values():
        if values.void:
            raise BenchError(f"{values.name}: {values.void}")


def _texts() -> None:
    """A little of every text, counted here."""
    for _, text in texts.corpus():
        for encoding in ("o200k_base", "cl100k_base"):
            count(text[:TEXT_CHARACTERS], encoding)


def kinds(at: Path) -> None:
    """The answers of each dialect, with what each tells of its usage."""
    loop = LoopThread()
    try:
        with Upstream(loop) as upstream, Gateway(at, config_of(upstream)) as gateway:
            for kind in ALL:
                _answer(upstream, gateway, kind, stream(kind.frames, kind.media), streamed=True)
                _answer(upstream, gateway, kind, answer(kind.whole), streamed=False)
    finally:
        loop.close()


def _answer(upstream: Upstream, gateway: Gateway, kind: Kind, script: Script, streamed: bool) -> None:
    upstream.reset()
    upstream.always(script)
    for _ in range(ANSWERS):
        told = ask(gateway, kind, streamed)
        if told.status != 200 or (streamed and kind.outcome(told.body) != "complete"):
            raise BenchError(f"{kind.name}: {told.status} {told.body[:300]!r}")


def main(part: str) -> None:
    """Raises where anything does not run as it should: such counts are worth nothing."""
    package = importlib.util.find_spec("penstock._native")
    if package is None or package.origin is None or Path(package.origin).is_relative_to(machine.ROOT / "python"):
        raise BenchError("this is the extension of the tree: scripts/profile.sh has one that counts")
    with tempfile.TemporaryDirectory(prefix="penstock-train-") as directory:
        {"loads": loads, "kinds": kinds}[part](Path(directory))


if __name__ == "__main__":
    main(*sys.argv[1:])
