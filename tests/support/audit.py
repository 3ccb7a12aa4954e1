"""What `penstock audit` says of a data_dir."""

import json
import subprocess
from pathlib import Path
from typing import Any

from .gateway import run


def audit(data_dir: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run("audit", *words, "--data-dir", str(data_dir))


def query(data_dir: Path, *words: str) -> list[dict[str, Any]]:
    """Records as objects."""
    done = audit(data_dir, "query", "--json", *words)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def verified(data_dir: Path) -> list[dict[str, Any]]:
    """One report a journal; fails if one has a fault."""
    done = audit(data_dir, "verify", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    reports: list[dict[str, Any]] = json.loads(done.stdout)["journals"]
    return reports
