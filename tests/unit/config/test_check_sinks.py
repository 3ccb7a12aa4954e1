"""Sinks as they are configured: each with a place of its own, and something to get."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from penstock.config.load import load
from penstock.config.model import Config, Sink
from penstock.config.problem import Problem
from tests.unit.conftest import KEYS

HEAD = "providers: {openai: {}}\n"


def test_a_sink_has_defaults_and_units(read: Callable[..., Config], tmp_path: Path) -> None:
    assert read(HEAD).audit.sinks == ()
    text = f"audit: {{sinks: [{{type: jsonl, path: {tmp_path}/x.jsonl, max_bytes: 1MiB, max_lag: 1m}}, {{path: '-'}}]}}"
    file, stdout = read(HEAD + text).audit.sinks
    assert file == Sink(path=f"{tmp_path}/x.jsonl", max_bytes=1 << 20, max_lag=60_000)
    assert stdout == Sink(path="-")
    assert (stdout.max_bytes, stdout.keep, stdout.max_lag, stdout.private) == (100 << 20, 5, 600_000, True)


def test_what_cannot_be_is_said_at_its_place(refused: Callable[..., list[Problem]], tmp_path: Path) -> None:
    sinks = ["{}", "{path: '-'}", "{path: '-'}", f"{{path: {tmp_path}}}", f"{{path: {tmp_path}/no/x}}"]
    lines = "".join(f"\n    - {sink}" for sink in sinks)
    found = refused(f"{HEAD}journal: {{durability: none}}\naudit:\n  sinks:{lines}\n")
    assert {(problem.path, problem.message) for problem in found} == {
        (("audit", "sinks"), "would get nothing: journal.durability is none"),
        (("audit", "sinks", 0, "path"), "is missing"),
        (("audit", "sinks", 2, "path"), "is written by another sink already"),
        (("audit", "sinks", 3, "path"), f"{tmp_path} is not a file"),
        (("audit", "sinks", 4, "path"), f"there is no directory for {tmp_path}/no/x"),
    }
    (problem,) = refused(f"{HEAD}audit: {{sinks: [{{type: kafka, path: '-'}}]}}\n")
    assert (problem.path, problem.message) == (("audit", "sinks", 0, "type"), "expected one of jsonl, not 'kafka'")


def test_a_sink_that_is_to_have_texts_has_what_is_private(refused: Callable[..., list[Problem]]) -> None:
    content = "content: {prompts: true}"
    (problem,) = refused(f"{HEAD}audit: {{{content}, sinks: [{{path: '-', content: true, private: false}}]}}\n")
    assert (problem.path, problem.message) == (
        ("audit", "sinks", 0, "content"),
        "would get no text: private is false, and texts are private",
    )
    assert problem.hint == "set private: true, or content: false"


def test_a_sink_that_waits_for_texts_that_nothing_records_is_warned_of(write: Callable[[str], str]) -> None:
    def warned(content: str, *sinks: str) -> tuple[str, ...]:
        return load(write(f"{HEAD}audit: {{{content}sinks: [{', '.join(sinks)}]}}\n"), KEYS).warnings

    usual, texts = "{path: '-'}", "{path: /tmp/x.jsonl, content: true}"
    assert warned("", usual, texts) == (
        "audit.sinks[1].content is true, and no text is recorded: set audit.content.prompts or audit.content.answers",
    )
    assert warned("", usual) == ()
    assert warned("content: {answers: true}, ", usual, texts) == ()
    assert warned("content: {prompts: true}, ", usual, texts) == ()


def test_no_sink_stands_where_another_one_puts_files_aside(
    read: Callable[..., Config], refused: Callable[..., list[Problem]], tmp_path: Path
) -> None:
    def text(*sinks: tuple[str, int]) -> str:
        lines = "".join(f"\n    - {{path: {tmp_path}/{name}, keep: {keep}}}" for name, keep in sinks)
        return f"{HEAD}audit:\n  sinks:{lines}\n"

    for other, place in (("a.2", 0), (".a.penstock-next", 1)):
        sinks = [("a", 2), ("b", 2)]
        sinks.insert(2 * place, (other, 0))
        (problem,) = refused(text(*sinks))
        assert problem.path == ("audit", "sinks", 2 * place, "path")
        assert problem.message == f"is where audit.sinks[{1 - place}] puts files aside"
        assert problem.hint == "name another path"
    assert len(read(text(("a", 2), ("a.3", 2), ("a.new", 2), ("a.x", 2))).audit.sinks) == 4
