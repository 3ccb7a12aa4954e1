"""`penstock.tokens` with the compiled library: texts, models, chats."""

from __future__ import annotations

import pytest

from penstock.engine import measure
from penstock.tokens import count, count_messages
from tests.support import tiktoken_oracle

pytest.importorskip("penstock._native", reason="the native library is not built")
pytestmark = pytest.mark.native
TEXT = "The quick brown fox doesn't jump: 敏捷的棕色狐狸 🙂\n\n" * 3


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base"])
def test_an_encoding_counts_as_tiktoken(name: str) -> None:
    assert count(TEXT, name) == count(TEXT.encode(), name) == len(tiktoken_oracle.encoding(name).encode_ordinary(TEXT))


@pytest.mark.parametrize("text", ["lone \ud800 and \udfff", "\ud83d\ude42 a pair", "\udc80" * 5])
def test_surrogates_count_as_tiktoken_counts_them(text: str) -> None:
    assert count(text, "o200k_base") == len(tiktoken_oracle.encoding("o200k_base").encode_ordinary(text))


def test_tiktokens_models_have_tiktokens_encodings() -> None:
    model = pytest.importorskip("tiktoken.model")
    retired = ("p50k_base", "p50k_edit", "r50k_base", "gpt2")
    dated = {f"{name.rstrip('-')}-2026": encoding for name, encoding in model.MODEL_PREFIX_TO_ENCODING.items()}
    for name, encoding in {**model.MODEL_TO_ENCODING, **dated}.items():
        if encoding not in retired:
            assert measure(name) == (encoding.replace("o200k_harmony", "o200k_base"), 1000, True), name


def test_models_of_others_count_by_their_factor_rounded_up() -> None:
    base = count(TEXT, "o200k_base")
    assert count(TEXT, "openai/gpt-5-mini") == count(TEXT, "gpt-6") == base
    assert count(TEXT, "claude-opus-4-6") == -(-base * 12 // 10)
    assert count(TEXT, "anthropic/claude-opus-5") == -(-base * 27 // 20)
    assert count(TEXT, "llama3.3") == -(-base * 11 // 10)


def test_a_chat_counts_its_messages_and_what_stands_between_them() -> None:
    messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": TEXT, "name": "bob"}]
    words = sum(count(text, "gpt-4o") for text in ("system", "be kind", "user", TEXT, "bob"))
    assert count_messages(messages, "gpt-4o") == 3 + 2 * 3 + words + 1


def test_tools_and_the_choice_of_one_add_to_a_chat() -> None:
    messages = [{"role": "user", "content": "x"}]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"type": "string"}}}}}]
    text = "namespace functions {\n\ntype f = (_: {\na?: string,\n}) => any;\n\n} // namespace functions"
    alone, added = count_messages(messages, "gpt-4o"), count(text, "gpt-4o") + 9
    assert count_messages(messages, "gpt-4o", tools=tools) == alone + added
    assert count_messages(messages, "gpt-4o", tools=tools, tool_choice="none") == alone + added + 1
    choice = {"type": "function", "function": {"name": "f"}}
    assert count_messages(messages, "gpt-4o", tools=tools, tool_choice=choice) == alone + added + 8


def test_anthropics_system_counts_as_a_message() -> None:
    messages = [{"role": "user", "content": "x"}]
    assert count_messages(messages, "gpt-4o", system="be kind") == count_messages(messages, "gpt-4o") + 3 + 2


def test_what_cannot_be_json_is_refused() -> None:
    with pytest.raises(TypeError):
        count_messages([{"role": "user", "content": b"bytes"}], "gpt-4o")
