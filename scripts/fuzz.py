"""Builds the fuzz targets with the installed stable toolchain, replays their corpus, then fuzzes each for a while.

A target is a file in native/fuzz/src/bin; its corpus, if it has one, is native/fuzz/corpus/NAME. libFuzzer's coverage
comes from LLVM flags that stable rustc accepts, so no nightly is needed. A failing input is left in
native/fuzz/artifacts/NAME: run the target on it, mend the fault, move the input to the corpus.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FUZZ = ROOT / "native" / "fuzz"
COVERAGE = (
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
)
LIMITS = ("-max_len=16384", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=0", "-verbosity=0")
# A multiple of a target's own time after which it is taken to hang: start-up and a busy machine included.
PATIENCE_SECONDS = 120


def host() -> str:
    """The triple that rustc builds for; naming it keeps the flags away from build scripts."""
    shown = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    return next(line.removeprefix("host: ") for line in shown.splitlines() if line.startswith("host: "))


def build(target_dir: Path, triple: str) -> Path:
    """Builds all targets and returns the directory they are in. Optimised, with every debug assertion."""
    environment = {
        **os.environ,
        "CARGO_TARGET_DIR": str(target_dir),
        "CARGO_PROFILE_DEV_OPT_LEVEL": "2",
        "RUSTFLAGS": " ".join((*COVERAGE, "--cfg", "fuzzing")),
    }
    command = ["cargo", "build", "--locked", "--quiet", "--bins", "--package", "penstock-fuzz", "--target", triple]
    subprocess.run(command, check=True, cwd=ROOT, env=environment)
    return target_dir / triple / "debug"


def run(program: Path, arguments: list[str], seconds: int) -> str | None:
    """Runs one target; returns what it said if it failed."""
    try:
        done = subprocess.run(
            [program, *arguments],
            cwd=FUZZ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds + PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{program.name} did not end"
    return done.stdout[-8000:] if done.returncode else None


def fuzz(program: Path, found: Path, seconds: int) -> str | None:
    """Replays the corpus of a target, then looks for new inputs; what it finds stays out of the repository."""
    corpus, artifacts = FUZZ / "corpus" / program.name, FUZZ / "artifacts" / program.name
    for directory in (artifacts, found):
        directory.mkdir(parents=True, exist_ok=True)
    common = [*LIMITS, f"-artifact_prefix={artifacts}/"]
    seeds = [str(corpus)] if corpus.is_dir() else []
    failed = run(program, [*common, "-runs=0", *seeds], 0) if seeds else None
    if failed is None and seconds > 0:
        failed = run(program, [*common, f"-max_total_time={seconds}", str(found), *seeds], seconds)
    return failed


def main() -> int:
    """Returns the exit status: 0 when no target found a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("targets", nargs="*", help="names; without any, all")
    parser.add_argument("--seconds", type=int, default=10, help="for each target; 0 replays the corpus only")
    arguments = parser.parse_args()
    known = {path.stem for path in (FUZZ / "src" / "bin").glob("*.rs")}
    names = sorted(arguments.targets or known)
    if unknown := set(names) - known:
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(sorted(known)) or 'none'}")
    if not names:
        return 0
    target_dir = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "fuzz"
    programs = build(target_dir, host())
    failures = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = [target_dir / "found" / name for name in names]
        results = pool.map(fuzz, [programs / name for name in names], found, [arguments.seconds] * len(names))
        for name, failed in zip(names, results, strict=True):
            print(f"fuzz {name}: {'FAILED' if failed else 'ok'}", flush=True)
            if failed:
                failures += 1
                print(failed, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
