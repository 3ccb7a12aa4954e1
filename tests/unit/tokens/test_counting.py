"""`penstock.tokens` without the compiled library: what it hands to native, and what it makes of the answer."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from penstock.tokens import count, count_messages, counting


class Bytewise:
    """An encoding with a token for each byte."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: list[tuple[str, bytes]] = []

    def count(self, text: bytes) -> int:
        return len(text)

    def count_chat(self, model: str, body: bytes) -> int:
        self.seen.append((model, body))
        return 42


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Bytewise]]:
    made: list[Bytewise] = []

    def open_encoding(directory: str, name: str) -> Bytewise:
        assert directory == str(counting.TABLES)
        made.append(Bytewise(name))
        return made[-1]

    monkeypatch.setattr(counting, "open_encoding", open_encoding)
    monkeypatch.setattr(counting, "measure", lambda model: ("base", 1200 if model == "other" else 1000, False))
    counting._opened.cache_clear()
    yield made
    counting._opened.cache_clear()


def test_an_encoding_is_opened_once(opened: list[Bytewise]) -> None:
    assert [count("abc", "one"), count("é", "two")] == [3, 2]
    assert [encoding.name for encoding in opened] == ["base"]


def test_a_factor_rounds_up(opened: list[Bytewise]) -> None:
    assert [count("x" * n, "other") for n in (0, 1, 5, 6)] == [0, 2, 6, 8]


def test_lone_surrogates_are_replaced_and_pairs_joined(opened: list[Bytewise]) -> None:
    assert counting._utf8("a\ud800b") == "a\ufffdb".encode()
    assert counting._utf8("\ud83d\ude42") == "🙂".encode()


def test_a_chat_crosses_as_the_request_that_it_would_be(opened: list[Bytewise]) -> None:
    messages = [{"role": "user", "content": "é\ud800"}]
    assert count_messages(messages, "m", tools=[]) == 42
    ((model, body),) = opened[0].seen
    assert model == "m"
    assert json.loads(body) == {"messages": messages, "tools": []}


def test_both_tables_are_in_the_package() -> None:
    assert {path.name for path in counting.TABLES.glob("*.table")} == {"o200k_base.table", "cl100k_base.table"}
