"""The Anthropic SDK: messages, stream helpers, token counts, errors."""

import asyncio
import time
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic

from tests.contract.conftest import KEY, UPSTREAM_KEY, Entry
from tests.support.script import Hold, answer
from tests.support.upstream import Upstream

ASK: list[Any] = [{"role": "user", "content": "hello"}]
TOOLS: list[Any] = [
    {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
]
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 1},
}


def demo_client(entry: Entry) -> Anthropic:
    return Anthropic(base_url=entry.demo, api_key=KEY, max_retries=0, timeout=10)


def scripted_client(entry: Entry) -> Anthropic:
    return Anthropic(base_url=entry.scripted, api_key=KEY, max_retries=0, timeout=10)


def failure(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_up"}


def test_a_message_is_answered_whole(entry: Entry) -> None:
    with demo_client(entry) as client:
        raw = client.messages.with_raw_response.create(model=entry.demo_model, max_tokens=500, messages=ASK)
        result = raw.parse()
    assert result.content[0].type == "text"
    assert result.stop_reason == "end_turn"
    assert result._request_id
    if entry.through_gateway:
        assert raw.headers["request-id"] == raw.headers["x-request-id"]
        assert raw.headers["x-penstock-target"] == "demo/demo-1"


def test_the_raw_stream_has_every_event_in_order(entry: Entry) -> None:
    with demo_client(entry) as client:
        events = list(client.messages.create(model=entry.demo_model, max_tokens=500, messages=ASK, stream=True))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert kinds.count("content_block_delta") > 20


def test_the_stream_helper_accumulates_the_message(entry: Entry) -> None:
    with (
        demo_client(entry) as client,
        client.messages.stream(model=entry.demo_model, max_tokens=500, messages=ASK) as stream,
    ):
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert final.content[0].type == "text"
    assert final.content[0].text == text
    assert final.usage.output_tokens > 20


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_is_used_with_whole_input(entry: Entry, streamed: bool) -> None:
    with demo_client(entry) as client:
        if streamed:
            with client.messages.stream(model=entry.demo_model, max_tokens=500, messages=ASK, tools=TOOLS) as stream:
                result: Any = stream.get_final_message()
        else:
            result = client.messages.create(model=entry.demo_model, max_tokens=500, messages=ASK, tools=TOOLS)
    assert result.stop_reason == "tool_use"
    assert result.content[0].input == {"city": "Oslo"}


def test_tokens_are_counted(entry: Entry) -> None:
    with demo_client(entry) as client:
        assert client.messages.count_tokens(model=entry.demo_model, messages=ASK).input_tokens > 0


def test_models_are_listed_in_anthropics_shape(entry: Entry, upstream: Upstream) -> None:
    upstream.always(answer({"data": [], "has_more": False, "first_id": None, "last_id": None}))
    with demo_client(entry) as client:
        models = list(client.models.list())
    assert {"demo-1", "demo-1-mini"} <= {model.id for model in models}
    assert {model.type for model in models} == {"model"}


def test_the_async_client_streams_many_messages_at_once(entry: Entry) -> None:
    async def one(client: AsyncAnthropic) -> str:
        async with client.messages.stream(model=entry.demo_model, max_tokens=500, messages=ASK) as stream:
            return await stream.get_final_text()

    async def many() -> list[str]:
        async with AsyncAnthropic(base_url=entry.demo, api_key=KEY, max_retries=0, timeout=20) as client:
            return list(await asyncio.gather(*(one(client) for _ in range(20))))

    assert all(text.endswith(".") for text in asyncio.run(many()))


def test_version_and_beta_arrive_unchanged_and_keys_do_not(entry: Entry, upstream: Upstream) -> None:
    upstream.always(answer(MESSAGE, request_id="req_up"))
    with scripted_client(entry) as client:
        raw = client.beta.messages.with_raw_response.create(
            model=entry.model,
            max_tokens=5,
            messages=ASK,
            betas=["one-2026-01-01", "two-2026-01-01"],
            extra_query={"beta": "true"},
            extra_headers={"anthropic-version": "2026-10-21"},
            extra_body={"x_new_field": {"a": [1]}},
        )
    seen = upstream.requests[0]
    assert seen.target == "/v1/messages?beta=true"
    assert seen.header("anthropic-version") == "2026-10-21"
    assert (seen.header("anthropic-beta") or "").replace(" ", "") == "one-2026-01-01,two-2026-01-01"
    assert seen.json()["x_new_field"] == {"a": [1]}
    if entry.through_gateway:
        assert KEY.encode() not in seen.head
        assert UPSTREAM_KEY in dict(seen.headers).get("x-api-key", dict(seen.headers).get("authorization", ""))
        assert raw.headers["x-penstock-upstream-request-id"] == "req_up"


@pytest.mark.parametrize(
    ("status", "type_", "kind"),
    [
        (400, "invalid_request_error", anthropic.BadRequestError),
        (404, "not_found_error", anthropic.NotFoundError),
        (413, "request_too_large", anthropic.APIStatusError),
        (429, "rate_limit_error", anthropic.RateLimitError),
        (500, "api_error", anthropic.InternalServerError),
        (529, "overloaded_error", anthropic.InternalServerError),
    ],
)
def test_an_upstream_error_is_the_sdks_error(
    entry: Entry, upstream: Upstream, status: int, type_: str, kind: type[anthropic.APIStatusError]
) -> None:
    upstream.always(answer(failure(type_, "so it is"), status, request_id="req_up"))
    with scripted_client(entry) as client, pytest.raises(kind) as caught:
        client.messages.create(model=entry.model, max_tokens=5, messages=ASK)
    assert caught.value.status_code == status
    assert caught.value.type == type_
    assert "so it is" in str(caught.value)


def test_errors_of_the_gateway_have_anthropics_shape(entry: Entry) -> None:
    if not entry.through_gateway:
        pytest.skip("only the gateway knows its models")
    with scripted_client(entry) as client, pytest.raises(anthropic.NotFoundError) as caught:
        client.messages.create(model="no-such-model", max_tokens=5, messages=ASK)
    body: Any = caught.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] == "not_found_error"
    assert body["request_id"] == caught.value.response.headers["request-id"]
    assert caught.value.response.headers["x-penstock-error"] == "model_not_found"


def test_breaking_off_a_message_ends_the_upstreams_work(entry: Entry, upstream: Upstream) -> None:
    upstream.always([Hold()])
    with (
        Anthropic(base_url=entry.scripted, api_key=KEY, max_retries=0, timeout=0.3) as client,
        pytest.raises(anthropic.APITimeoutError),
    ):
        client.messages.create(model=entry.model, max_tokens=5, messages=ASK)
    left = time.monotonic()
    seen = upstream.wait_request()
    assert seen.departed.wait(5)
    assert seen.departed_at - left < 1
