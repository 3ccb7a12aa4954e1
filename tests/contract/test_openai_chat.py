"""The OpenAI SDK's chat completions: whole, streamed, tools, structured answers."""

import asyncio
import json
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.contract import openai_bodies as bodies
from tests.contract.conftest import KEY, UPSTREAM_KEY, Entry
from tests.support.script import answer
from tests.support.upstream import Upstream

TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]
ASK: list[Any] = [{"role": "user", "content": "hello"}]


class Place(BaseModel):
    city: str
    people: int


def demo_client(entry: Entry) -> OpenAI:
    return OpenAI(base_url=f"{entry.demo}/v1", api_key=KEY, max_retries=0, timeout=10)


def scripted_client(entry: Entry) -> OpenAI:
    return OpenAI(base_url=f"{entry.scripted}/v1", api_key=KEY, max_retries=0, timeout=10)


def test_a_chat_is_answered_whole(entry: Entry) -> None:
    with demo_client(entry) as client:
        raw = client.chat.completions.with_raw_response.create(model=entry.demo_model, messages=ASK)
        result = raw.parse()
    assert result.choices[0].finish_reason == "stop"
    assert (result.choices[0].message.content or "").endswith(".")
    assert result.usage is not None
    assert result.usage.total_tokens == result.usage.prompt_tokens + result.usage.completion_tokens
    assert result._request_id
    if entry.through_gateway:
        assert raw.headers["x-penstock-target"] == "demo/demo-1"
        assert raw.headers["x-penstock-attempts"] == "1"
        assert int(raw.headers["x-penstock-overhead-us"]) < 1_000_000
        assert raw.headers["x-penstock-upstream-request-id"].startswith("req_demo")
        assert raw.headers["x-request-id"] != raw.headers["x-penstock-upstream-request-id"]


def test_a_chat_streams_in_many_pieces(entry: Entry) -> None:
    with demo_client(entry) as client:
        options: Any = {"include_usage": True}
        chunks = list(
            client.chat.completions.create(
                model=entry.demo_model,
                messages=ASK,
                stream=True,
                stream_options=options,
            )
        )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.endswith(".")
    assert len(chunks) > 20
    assert chunks[-1].usage is not None
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"


def test_a_stream_without_include_usage_shows_no_usage_chunk(entry: Entry) -> None:
    with demo_client(entry) as client:
        chunks = list(client.chat.completions.create(model=entry.demo_model, messages=ASK, stream=True))
    assert all(chunk.choices for chunk in chunks)
    assert all(chunk.usage is None for chunk in chunks)


def test_the_stream_helper_accumulates_the_answer(entry: Entry) -> None:
    with (
        demo_client(entry) as client,
        client.chat.completions.stream(model=entry.demo_model, messages=ASK) as stream,
    ):
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(deltas) == final.choices[0].message.content


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_call_arrives_with_whole_arguments(entry: Entry, stream: bool) -> None:
    with demo_client(entry) as client:
        if stream:
            with client.chat.completions.stream(model=entry.demo_model, messages=ASK, tools=TOOLS) as events:
                for _ in events:
                    pass
                message: Any = events.get_final_completion().choices[0].message
        else:
            create = client.chat.completions.create
            message = create(model=entry.demo_model, messages=ASK, tools=TOOLS).choices[0].message
    assert message.tool_calls is not None
    call = message.tool_calls[0]
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Oslo"}


def test_the_conversation_goes_on_after_a_tool_result(entry: Entry) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    messages = [
        *ASK,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "3"},
    ]
    with demo_client(entry) as client:
        result = client.chat.completions.create(model=entry.demo_model, messages=messages, tools=TOOLS)
    assert result.choices[0].message.content


def test_a_structured_answer_is_parsed(entry: Entry) -> None:
    with demo_client(entry) as client:
        result = client.chat.completions.parse(model=entry.demo_model, messages=ASK, response_format=Place)
    assert result.choices[0].message.parsed == Place(city="Oslo", people=3)


def test_max_tokens_ends_an_answer_with_length(entry: Entry) -> None:
    with demo_client(entry) as client:
        result = client.chat.completions.create(model=entry.demo_model, messages=ASK, max_tokens=4)
    assert result.choices[0].finish_reason == "length"


def test_legacy_completions_answer_whole_and_streamed(entry: Entry) -> None:
    with demo_client(entry) as client:
        result = client.completions.create(model=entry.demo_model, prompt="hello", max_tokens=5)
        chunks = list(client.completions.create(model=entry.demo_model, prompt="hello", max_tokens=5, stream=True))
    assert result.choices[0].finish_reason == "length"
    assert "".join(chunk.choices[0].text for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "length"


def test_the_async_client_streams_many_chats_at_once(entry: Entry) -> None:
    async def one(client: AsyncOpenAI) -> str:
        stream = await client.chat.completions.create(model=entry.demo_model, messages=ASK, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def many() -> list[str]:
        async with AsyncOpenAI(base_url=f"{entry.demo}/v1", api_key=KEY, max_retries=0, timeout=20) as client:
            return list(await asyncio.gather(*(one(client) for _ in range(30))))

    assert all(text.endswith(".") for text in asyncio.run(many()))


def test_unknown_fields_and_queries_arrive_unchanged(entry: Entry, upstream: Upstream) -> None:
    extra = {"x_custom": {"deep": [1, 2.50, None, "é😀"]}, "reasoning": {"effort": "low"}, "seed": 12345678901234567890}
    upstream.always(answer(bodies.chat()))
    with scripted_client(entry) as client:
        client.chat.completions.create(
            model=entry.model,
            messages=ASK,
            extra_body=extra,
            extra_query={"api-version": "2026-01-01", "a": "b c"},
        )
    seen = upstream.requests[0]
    assert {name: seen.json()[name] for name in extra} == extra
    assert seen.target.startswith("/v1/chat/completions?")
    assert "api-version=2026-01-01" in seen.target


def test_what_the_caller_knows_about_its_account_stays_here(
    entry: Entry, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-mine")
    upstream.always(answer(bodies.chat(), set_cookie="a=b", server="them", openai_organization="org-theirs"))
    with scripted_client(entry) as client:
        raw = client.chat.completions.with_raw_response.create(model=entry.model, messages=ASK)
    seen = dict(upstream.requests[0].headers)
    if entry.through_gateway:
        assert seen["authorization"] == f"Bearer {UPSTREAM_KEY}"
        assert "org-mine" not in seen.values()
        assert "proj-mine" not in seen.values()
        assert not [name for name in seen if name.startswith("x-stainless") or name == "cookie"]
        assert KEY.encode() not in upstream.requests[0].head + upstream.requests[0].body
        assert seen["accept-encoding"] == "identity"
        assert "set-cookie" not in raw.headers
        assert raw.headers.get("server") != "them"
    else:
        assert seen["openai-organization"] == "org-mine"


def test_usage_is_asked_for_upstream_and_not_shown_to_who_did_not_ask(entry: Entry, upstream: Upstream) -> None:
    if not entry.through_gateway:
        pytest.skip("only the gateway asks for it")
    upstream.always(bodies.chat_stream("a", "b", usage=True))
    with scripted_client(entry) as client:
        chunks = list(client.chat.completions.create(model=entry.model, messages=ASK, stream=True))
    sent = upstream.requests[0].json()
    assert sent["stream"] is True
    assert sent.get("stream_options") in ({"include_usage": True}, None)
    if sent.get("stream_options"):
        assert all(chunk.choices for chunk in chunks)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "ab"
