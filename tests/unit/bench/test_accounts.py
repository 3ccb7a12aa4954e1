"""The journal, tokens and the live tail: what becomes of what their programs say."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest

from bench import accounts
from bench.rows import Options, Table
from tests.support import texts, tiktoken_oracle
from tests.unit.bench.standing import Standing

SAID = """Group, 1 thread(s): 700000 records/s, 210 MB/s, 90 ns a push
Group, 2 thread(s): 600000 records/s, 190 MB/s, 250 ns a push
one fsync of 4 KiB: 130 us
"""


def values(table: Table) -> dict[str, dict[str, list[float]]]:
    return {row.name: row.by_side for row in table.rows.values()}


def test_the_journal_is_measured_in_group_on_the_disk_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, SAID, "")

    monkeypatch.setattr(subprocess, "run", run)
    table = Table()
    accounts.journal(2, tmp_path, table)
    assert asked[-1][1:] == [str(tmp_path), "group"]
    assert values(table) == {
        "journal_records[1 thread]": {"journal": [700_000, 700_000]},
        "journal_push[1 thread]": {"journal": [0.09, 0.09]},
        "journal_records[2 threads]": {"journal": [600_000, 600_000]},
        "journal_push[2 threads]": {"journal": [0.25, 0.25]},
    }


@pytest.mark.parametrize(("code", "said"), [(0, "nothing to the point"), (1, SAID)])
def test_a_journal_that_says_nothing_of_use_voids_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, said: str
) -> None:
    monkeypatch.setattr(accounts, "_example", lambda name: Path(name))
    done = subprocess.CompletedProcess([], code, said, "no room")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    table = Table()
    accounts.journal(1, tmp_path, table)
    assert {row.void for row in table.rows.values()} == {"journal_measure: no room"}


@pytest.mark.parametrize(("theirs", "void"), [([1, 2], ""), ([1, 2, 3], "2 tokens, tiktoken says 3")])
def test_counts_that_differ_void_the_row(monkeypatch: pytest.MonkeyPatch, theirs: list[int], void: str) -> None:
    oracle = SimpleNamespace(encode_ordinary=lambda text: theirs)
    monkeypatch.setattr(texts, "corpus", lambda: iter([("code", "x"), ("prose", "two words")]))
    monkeypatch.setattr(tiktoken_oracle, "encoding", lambda name: oracle)
    monkeypatch.setattr(accounts, "count", lambda data, name: 2)
    table = Table()
    accounts.tokens(1, table)
    assert {row.void for row in table.rows.values()} == {void}
    if not void:
        assert {*values(table)["tokens[o200k_base]"]} == {"penstock_tokens", "tiktoken"}


def tailed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: int) -> tuple[Table, list[Options]]:
    """The rows of a tail that shows so many records, and what was driven."""
    theirs, ours = os.pipe()
    record = {"started": datetime.now(UTC).isoformat(), "phases": {"total_us": 1_000}}

    @contextmanager
    def tail(_: Standing) -> Iterator[IO[str]]:
        with os.fdopen(theirs) as pipe, os.fdopen(ours, "w"):
            yield pipe

    driven: list[Options] = []
    monkeypatch.setattr(accounts, "Governed", Standing)
    monkeypatch.setattr(accounts, "_tail", tail)
    monkeypatch.setattr(accounts, "SEEN_LIMIT_S", 0.2)
    table = Table()

    def drive(_: str, options: Options) -> dict[str, Any]:
        driven.append(options)
        os.write(ours, f"{json.dumps(record)}\n".encode() * shown)
        return {}

    accounts.tail(1, 0.1, drive, None, tmp_path, table)  # type: ignore[arg-type]
    return table, driven


def test_the_lag_of_the_tail_is_from_the_end_of_the_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, driven = tailed(tmp_path, monkeypatch, 50)
    assert [(options["rate"], options["key"]) for options in driven] == [("500", "sk-good")]
    (p50,), (p99,) = (row.by_side["penstock_governed"] for row in table.rows.values())
    assert -1.0 <= p50 <= p99 < 10_000.0


def test_a_tail_that_does_not_show_the_records_voids_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, _ = tailed(tmp_path, monkeypatch, 3)
    assert {row.void for row in table.rows.values()} == {"penstock audit tail showed 3 of 45 records"}
