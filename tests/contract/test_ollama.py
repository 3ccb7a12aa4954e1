"""The Ollama SDK: chat, generate, embed, list, show, errors."""

import asyncio
import json
from typing import Any

import ollama
import pytest

from tests.contract.conftest import Entry
from tests.support.script import NDJSON, answer, stream
from tests.support.upstream import Upstream

ASK = [{"role": "user", "content": "hello"}]
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


def test_a_chat_is_answered_whole(entry: Entry) -> None:
    with ollama.Client(entry.demo, timeout=10) as client:
        result = client.chat(entry.demo_model, ASK)
    assert (result.message.content or "").endswith(".")
    assert result.done_reason == "stop"
    assert (result.eval_count or 0) > 20


def test_a_chat_streams_in_many_lines(entry: Entry) -> None:
    with ollama.Client(entry.demo, timeout=10) as client:
        parts = list(client.chat(entry.demo_model, ASK, stream=True))
    assert len(parts) > 20
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert "".join(part.message.content or "" for part in parts).endswith(".")


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_call_comes_whole(entry: Entry, streamed: bool) -> None:
    with ollama.Client(entry.demo, timeout=10) as client:
        if streamed:
            message = next(iter(client.chat(entry.demo_model, ASK, tools=TOOLS, stream=True))).message
        else:
            message = client.chat(entry.demo_model, ASK, tools=TOOLS).message
    assert message.tool_calls is not None
    assert message.tool_calls[0].function.arguments == {"city": "Oslo"}


def test_a_structured_answer_comes_as_json(entry: Entry) -> None:
    schema = {"type": "object", "properties": {"people": {"type": "integer"}}}
    with ollama.Client(entry.demo, timeout=10) as client:
        result = client.chat(entry.demo_model, ASK, format=schema)
    assert json.loads(result.message.content or "") == {"people": 3}


def test_generate_answers_whole_and_streamed(entry: Entry) -> None:
    with ollama.Client(entry.demo, timeout=10) as client:
        whole = client.generate(entry.demo_model, "hello")
        parts = list(client.generate(entry.demo_model, "hello", stream=True))
    assert whole.response.endswith(".")
    assert "".join(part.response for part in parts).endswith(".")
    assert parts[-1].done


def test_embeddings_come_both_ways(entry: Entry) -> None:
    with ollama.Client(entry.demo, timeout=10) as client:
        assert len(client.embed(entry.demo_model, ["a", "b"]).embeddings) == 2
        assert len(client.embeddings(entry.demo_model, "a").embedding) == 8


def test_models_are_listed_and_shown(entry: Entry, upstream: Upstream) -> None:
    upstream.always(answer({"models": []}))
    with ollama.Client(entry.demo, timeout=10) as client:
        names = {model.model for model in client.list().models}
        shown = client.show(entry.demo_model)
    assert {"demo-1", "demo-1-mini"} <= names
    if entry.through_gateway:
        assert "demo" in names
    assert shown.capabilities == ["completion", "tools"]


def test_an_error_has_its_status_and_text(entry: Entry, upstream: Upstream) -> None:
    upstream.always(answer({"error": "model is asleep"}, 404))
    with ollama.Client(entry.scripted, timeout=10) as client, pytest.raises(ollama.ResponseError) as caught:
        client.chat(entry.model, ASK)
    assert caught.value.status_code == 404
    assert "model is asleep" in caught.value.error


def test_an_error_amid_a_stream_raises(entry: Entry, upstream: Upstream) -> None:
    first = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": {"role": "assistant", "content": "a"}}
    lines = [json.dumps({**first, "done": False}).encode() + b"\n", b'{"error":"it broke"}\n']
    upstream.always(stream(lines, NDJSON))
    with ollama.Client(entry.scripted, timeout=10) as client:
        parts = client.chat(entry.model, ASK, stream=True)
        assert next(parts).message.content == "a"
        with pytest.raises(ollama.ResponseError, match="it broke"):
            list(parts)


def test_errors_of_the_gateway_have_ollamas_shape(entry: Entry) -> None:
    if not entry.through_gateway:
        pytest.skip("only the gateway knows its models")
    with ollama.Client(entry.scripted, timeout=10) as client, pytest.raises(ollama.ResponseError) as caught:
        client.chat("no-such-model", ASK)
    assert caught.value.status_code == 404
    assert "no-such-model" in caught.value.error


def test_the_async_client_streams_many_chats_at_once(entry: Entry) -> None:
    async def one() -> str:
        async with ollama.AsyncClient(entry.demo, timeout=20) as client:
            parts = await client.chat(entry.demo_model, ASK, stream=True)
            return "".join([part.message.content or "" async for part in parts])

    async def many() -> list[str]:
        return list(await asyncio.gather(*(one() for _ in range(20))))

    assert all(text.endswith(".") for text in asyncio.run(many()))
