"""The sinks of a process: fed, shown in metrics, named where they are stuck."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from penstock.audit.sinks import feed as feed_module
from penstock.audit.sinks import running as running_module
from penstock.audit.sinks.feed import Feed
from penstock.audit.sinks.running import Sinks
from penstock.audit.sinks.table import SINKS
from penstock.config.model import Sink
from penstock.observe.logs import Log
from tests.unit.audit.sinks.conftest import FakeJournal, MakeJournal, Told
from tests.unit.conftest import until


class Shown:
    """Stands for native: what it was told last."""

    def __init__(self) -> None:
        self.facts: list[dict[str, object]] = []

    def sinks(self, facts: bytes) -> None:
        self.facts = msgspec.json.decode(facts)


async def test_a_sink_that_is_stuck_is_told_of_and_shown_and_the_other_goes_on(
    tmp_path: Path, journals: dict[str, FakeJournal], make_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, well = Told(), Told()
    sinks = iter((stuck, well))
    monkeypatch.setitem(SINKS, "jsonl", lambda settings: next(sinks))
    monkeypatch.setattr(running_module, "STUCK_S", 0.05)
    monkeypatch.setattr(running_module, "LOOK_S", 0.02)
    lines: list[bytes] = []
    said: list[list[str]] = []
    settings = (Sink(path="-"), Sink(path=str(tmp_path / "x")))
    all_sinks = Sinks(settings, str(tmp_path), "one", Log("info", "json", lines.append), said.append)
    journal = make_journal("one")
    for feed in all_sinks._feeds:
        feed._open_journal = lambda _: journal
    shown = Shown()
    all_sinks.start(shown)
    stuck.refuses = True
    started_us = time.time_ns() // 1000
    journal.commit(started_us)
    journal.record(1, started_us)
    await until(lambda: said == [["the sink jsonl:- does not take records"]])
    await until(lambda: well.numbers() == [1])
    by_name = {each["name"]: each for each in shown.facts}
    assert by_name["jsonl:-"]["failures"] != 0
    assert by_name["jsonl:-"]["lag_us"] != 0
    await until(lambda: {each["name"]: each for each in shown.facts}[f"jsonl:{tmp_path}/x"]["records"] == 1)
    stuck.refuses = False
    await until(lambda: said[1:] == [[]])
    assert stuck.numbers() == [1]
    messages = [(line["message"], line["sink"], line.get("error")) for line in map(msgspec.json.decode, lines)]
    waits = "a sink does not take records; they wait in the journal"
    assert messages == [(waits, "jsonl:-", "no room"), ("the sink takes records again", "jsonl:-", None)]
    await all_sinks.stop(2.0)
    await all_sinks.stop(2.0)


async def test_a_sink_that_takes_nothing_at_the_end_does_not_keep_the_process(
    tmp_path: Path, make_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = Told()
    sink.refuses = True
    monkeypatch.setitem(SINKS, "jsonl", lambda settings: sink)
    lines: list[bytes] = []
    all_sinks = Sinks((Sink(path="-"),), str(tmp_path), "one", Log("info", "json", lines.append), lambda _: None)
    journal = make_journal("one")
    all_sinks._feeds[0]._open_journal = lambda _: journal
    journal.record(1)
    all_sinks.start(Shown())
    await until(lambda: sink.tries > 0)
    await all_sinks.stop(2.0)
    (line,) = map(msgspec.json.decode, lines)
    assert (line["message"], line["error"]) == ("a sink did not take the last records", "no room")
    assert isinstance(all_sinks._feeds[0], Feed)
    assert feed_module.LONGEST_WAIT_S > 2.0, "it did not wait for that"


def test_standard_output_is_one_sink_wherever_the_process_stands(
    tmp_path: Path, make_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_journal("one")
    data_dir = tmp_path / "data"
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        settings = (Sink(path="-"), Sink(path="x"))
        all_sinks = Sinks(settings, str(data_dir), "one", Log("info", "json", lambda _: None), lambda _: None)
        all_sinks.begin()
        for feed in all_sinks._feeds:
            feed._positions.release()
    kept = [msgspec.json.decode(file.read_bytes())["sink"] for file in data_dir.glob("sinks/*/position.json")]
    assert sorted(kept) == ["jsonl:-", "jsonl:x", "jsonl:x"]


async def test_without_a_start_there_is_nothing_to_stop(tmp_path: Path) -> None:
    all_sinks = Sinks((Sink(path="-"),), str(tmp_path), "one", Log("info", "json", lambda _: None), lambda _: None)
    await all_sinks.stop(1.0)
    assert not (tmp_path / "sinks").exists()
