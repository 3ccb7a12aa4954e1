"""`make bench-litellm`: requests/s of Penstock against LiteLLM with one worker a core, same box, same mock.

LiteLLM is installed into an environment of its own, `target/litellm`, some 500 MB, and not by default: it is a peer,
not a dependency. PENSTOCK_LITELLM names an environment that has it already.
"""

import functools
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from statistics import median

from bench import load, machine, rows, run, sides
from bench.machine import BenchError
from bench.rows import Table
from bench.sides import Side

VERSION = "==1.106.0"
# Penstock's requests/s are at least this many times LiteLLM's.
BUDGET, STRETCH = 100.0, 200.0
ROUNDS = 5
# Without keys, as in Penstock's bare rows; no fetching of price lists, no telemetry.
SETTINGS = {
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
    "LITELLM_TELEMETRY": "False",
}
# Importing LiteLLM alone takes some 10 s a worker.
START_LIMIT_S = 180.0


class LiteLLM(Side):
    """`litellm --config`, one worker a core."""

    start_limit_s = START_LIMIT_S

    def launch(self) -> None:
        """Starts LiteLLM's own server on a free port."""
        port = machine.free_port()
        self.plain = f"127.0.0.1:{port}"
        config = self.fill("litellm/config.yaml.in")
        command = [str(environment() / "bin" / "litellm"), "--config", config, "--host", "127.0.0.1"]
        command += ["--port", str(port), "--num_workers", str(machine.cores())]
        self.spawn(command, environment=os.environ | SETTINGS)


def environment() -> Path:
    """A virtual environment with LiteLLM in it, made if need be."""
    if named := os.environ.get("PENSTOCK_LITELLM"):
        return Path(named)
    at = machine.ROOT / "target" / "litellm"
    if not (at / "bin" / "litellm").exists():
        run.say(f"installing litellm{VERSION} into {at}")
        venv.create(at, with_pip=True)
        subprocess.run([str(at / "bin" / "pip"), "install", "--quiet", f"litellm[proxy]{VERSION}"], check=True)
    return at


def measure(subject: str) -> Table:
    """32 connections against each in turn."""
    run.prepare()
    environment()
    program = load.binary()
    drive = functools.partial(load.drive, program)
    ours, theirs = rows.flow(2.0, 1)[0], rows.flow(4.0, 1)[0]
    # LiteLLM writes requests and answers anew; the text of each answer is checked all the same.
    theirs.options["rewritten"] = "true"
    table = Table()
    with tempfile.TemporaryDirectory(prefix="penstock-litellm-") as directory:
        at = Path(directory)
        with load.Mock(program, at, max(1, machine.cores() // 2)) as mock:
            peer, side = LiteLLM("litellm", mock, at / "litellm"), sides.make(subject, mock, at)
            try:
                run.say(f"litellm answered after {peer.start():.1f} s")
                side.start()
                for _ in range(ROUNDS):
                    rows.run(theirs, [peer], drive, table)
                    rows.run(ours, [side], drive, table)
            finally:
                side.stop()
                peer.stop()
    return table


def main(subject: str = "penstock") -> int:
    """Prints the row; fails when the budget is missed."""
    try:
        table = measure(subject)
    except BenchError as error:
        run.say(f"error: {error}")
        return 2
    values = table.row("requests", "1 KB, plain")
    if values.void:
        run.say(f"void: {values.void}")
        return 1
    ours, theirs = (median(values.by_side[name]) for name in (subject, "litellm"))
    cpu = {name: median(found) for name, found in table.row("cpu_request", "1 KB, plain").by_side.items()}
    print(f"requests/s, 32 connections, {machine.cores()} cores: {subject} {ours:,.0f}, litellm {theirs:,.1f}")
    print(f"CPU per request: {subject} {cpu[subject]:,.1f} µs, litellm {cpu['litellm']:,.0f} µs")
    print(f"ratio {ours / theirs:.0f}, budget ≥ {BUDGET:.0f}, stretch {STRETCH:.0f}")
    return 0 if ours / theirs >= BUDGET else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
