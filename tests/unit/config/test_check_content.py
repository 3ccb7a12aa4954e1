"""Texts in records as they are configured: none unless it is said, bounded, by patterns that can be used."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.config import check_content
from penstock.config.model import Config, Content
from penstock.config.problem import Problem

HEAD = "providers: {openai: {}}\n"
PLACE = ("audit", "content")


def test_no_text_is_recorded_unless_it_is_said(read: Callable[..., Config]) -> None:
    assert read(HEAD).audit.content == Content(prompts=False, answers=False, max_bytes=16 << 10, redact=())
    assert read(HEAD + "audit: {content: none}\n").audit.content == Content()
    text = "audit: {content: {prompts: true, max_bytes: 2KiB, redact: ['a+']}}\n"
    assert read(HEAD + text).audit.content == Content(prompts=True, max_bytes=2048, redact=("a+",))


@pytest.mark.parametrize("size", ["63", "25KiB"])
def test_texts_have_a_bound(refused: Callable[..., list[Problem]], size: str) -> None:
    (problem,) = refused(f"{HEAD}audit: {{content: {{max_bytes: {size}}}}}\n")
    assert problem.path == (*PLACE, "max_bytes")


def test_texts_that_nothing_records_are_refused(refused: Callable[..., list[Problem]]) -> None:
    (problem,) = refused(f"{HEAD}journal: {{durability: none}}\naudit: {{content: {{answers: true}}}}\n")
    assert (problem.path, problem.message) == (PLACE, "would record nothing: journal.durability is none")


def test_a_pattern_that_cannot_be_used_is_refused_with_a_hint(
    refused: Callable[..., list[Problem]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_content, "check_pattern", lambda pattern: "unclosed group" if "(" in pattern else None)
    (problem,) = refused(f"{HEAD}audit:\n  content:\n    redact:\n      - a+\n      - (\n")
    assert (problem.path, problem.message) == ((*PLACE, "redact", 1), "is no pattern that can be used: unclosed group")
    assert "docs.rs/regex" in problem.hint
    assert problem.mark.line == 6
    (problem,) = refused(f"{HEAD}audit: {{content: {{redact: [{', '.join('a' * 33)}]}}}}\n")
    assert problem.message == "has 33 patterns"


def test_without_native_patterns_are_left_to_it(read: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_pattern: str) -> str | None:
        raise ImportError

    monkeypatch.setattr(check_content, "check_pattern", missing)
    assert read(f"{HEAD}audit: {{content: {{redact: ['(']}}}}\n").audit.content.redact == ("(",)
