"""The OpenAI SDK's errors, retries and cancellation."""

import asyncio
import threading
import time
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.contract import openai_bodies as bodies
from tests.contract.conftest import KEY, Entry
from tests.support.script import Hold, Send, WaitFor, answer, chunk, stream, stream_head
from tests.support.upstream import Upstream, steps
from tests.support.wait import until

ASK: list[Any] = [{"role": "user", "content": "hello"}]


def client_of(entry: Entry, retries: int = 0) -> OpenAI:
    return OpenAI(base_url=f"{entry.scripted}/v1", api_key=KEY, max_retries=retries, timeout=10)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (413, openai.APIStatusError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
        (529, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_an_upstream_error_is_the_sdks_error(
    entry: Entry, upstream: Upstream, status: int, kind: type[openai.APIStatusError], streamed: bool
) -> None:
    upstream.always(answer(bodies.error("so it is", "some_type", "some_code"), status, x_request_id="req_up"))
    with client_of(entry) as client, pytest.raises(kind) as caught:
        client.chat.completions.create(model=entry.model, messages=ASK, stream=streamed)
    assert caught.value.status_code == status
    assert caught.value.code == "some_code"
    assert caught.value.type == "some_type"
    assert "so it is" in str(caught.value)
    if entry.through_gateway:
        assert "x-penstock-error" not in caught.value.response.headers
        assert caught.value.response.headers["x-penstock-upstream-request-id"] == "req_up"


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_provider_key_is_not_the_callers_fault(entry: Entry, upstream: Upstream, status: int) -> None:
    upstream.always(answer(bodies.error("bad key sk-the-providers", code="invalid_api_key"), status))
    with client_of(entry) as client, pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model=entry.model, messages=ASK)
    if entry.through_gateway:
        assert caught.value.status_code == 502
        assert caught.value.response.headers["x-penstock-error"] == "upstream_auth"
        assert "sk-the-providers" not in caught.value.response.text
    else:
        assert caught.value.status_code == status


def test_an_unknown_model_is_not_found_and_close_names_are_told(entry: Entry) -> None:
    if not entry.through_gateway:
        pytest.skip("only the gateway knows its models")
    with client_of(entry) as client, pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="dem", messages=ASK)
    assert caught.value.code == "model_not_found"
    assert caught.value.response.headers["x-penstock-error"] == "model_not_found"
    assert "demo" in str(caught.value)


def test_the_sdk_retries_after_the_wait_it_is_told(entry: Entry, upstream: Upstream) -> None:
    wait = {"retry-after-ms": "20"}
    upstream.queue(
        answer(bodies.error("slow down", "requests", "rate_limit_exceeded"), 429, **wait),
        answer(bodies.error("oops", "server_error"), 500, **wait),
        answer(bodies.chat("third time")),
    )
    with client_of(entry, retries=2) as client:
        started = time.monotonic()
        result = client.chat.completions.create(model=entry.model, messages=ASK)
    assert result.choices[0].message.content == "third time"
    assert len(upstream.requests) == 3
    assert time.monotonic() - started < 3


def test_the_sdk_does_not_retry_when_told_not_to(entry: Entry, upstream: Upstream) -> None:
    refused = answer(
        bodies.error("out of money", "insufficient_quota", "insufficient_quota"), 429, x_should_retry="false"
    )
    upstream.always(refused)
    with client_of(entry, retries=2) as client, pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model=entry.model, messages=ASK)
    assert len(upstream.requests) == 1


def test_an_error_frame_amid_a_stream_raises(entry: Entry, upstream: Upstream) -> None:
    frames = [*bodies.chat_frames("a", "b")[:2], *bodies.sse(bodies.error("it broke", "server_error"))]
    upstream.always(stream(frames))
    with client_of(entry) as client:
        chunks = client.chat.completions.create(model=entry.model, messages=ASK, stream=True)
        with pytest.raises(openai.APIError, match="it broke"):
            list(chunks)


def test_breaking_off_a_stream_ends_the_upstreams_work(entry: Entry, upstream: Upstream) -> None:
    frames = bodies.chat_frames("a", "b", "c")
    upstream.always(steps(stream_head(), *(Send(chunk(frame)) for frame in frames[:3]), Hold()))
    with client_of(entry) as client:
        chunks = client.chat.completions.create(model=entry.model, messages=ASK, stream=True)
        assert next(iter(chunks)).id == "c1"
        left = time.monotonic()
        chunks.close()
    seen = upstream.wait_request()
    assert seen.departed.wait(5)
    assert seen.departed_at - left < 1


def test_cancelling_a_waiting_task_ends_the_upstreams_work(entry: Entry, upstream: Upstream) -> None:
    upstream.always([Hold()])

    async def cancel() -> float:
        async with AsyncOpenAI(base_url=f"{entry.scripted}/v1", api_key=KEY, max_retries=0) as client:
            task = asyncio.create_task(client.chat.completions.create(model=entry.model, messages=ASK))
            await asyncio.to_thread(upstream.wait_request)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return time.monotonic()

    left = asyncio.run(cancel())
    assert upstream.requests[0].departed.wait(5)
    assert upstream.requests[0].departed_at - left < 1


def test_the_first_chunk_comes_before_the_second_is_made(entry: Entry, upstream: Upstream) -> None:
    gate = threading.Event()
    frames = bodies.chat_frames("a", "b")
    sends = [Send(chunk(frame)) for frame in frames]
    upstream.always(steps(stream_head(), sends[0], sends[1], WaitFor(gate), *sends[2:], Send(b"0\r\n\r\n")))
    with client_of(entry) as client:
        chunks = client.chat.completions.create(model=entry.model, messages=ASK, stream=True)
        seen = [next(iter(chunks)), next(iter(chunks))]
        gate.set()
        seen += list(chunks)
    assert "".join(each.choices[0].delta.content or "" for each in seen) == "ab"
    until(lambda: upstream.requests[0].finished.is_set(), "the script ends")
