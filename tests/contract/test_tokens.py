"""Tokens counted by the gateway itself, as the official SDKs ask for them: of a model that no provider counts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from penstock.tokens import count, count_messages
from tests.support.gateway import Gateway
from tests.support.scene import config_of, provider
from tests.support.script import answer
from tests.support.upstream import Upstream, steps

ASK: list[Any] = [{"role": "user", "content": "Is there a café near Brandenburger Tor? 🙂"}]
SYSTEM = "Answer in one sentence."
TOOL = {
    "name": "find",
    "description": "Finds places",
    "input_schema": {"type": "object", "properties": {"what": {"type": "string", "description": "café, pub"}}},
}
COUNTED = "x-penstock-token-source"


@pytest.fixture(scope="module")
def gateway(module_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """`gpt-4o` and `claude-opus-4-6` at a provider that speaks OpenAI alone, `m` at one that speaks everything."""
    config = config_of(module_upstream)
    config["providers"]["plain"] = provider(module_upstream.root, dialects={"openai": "/v1"})
    for name, model in [("fast", "gpt-4o"), ("wise", "claude-opus-4-6")]:
        config["models"][name] = {"targets": [{"provider": "plain", "model": model}]}
    with Gateway(tmp_path_factory.mktemp("gateway"), config) as running:
        yield running


@pytest.fixture
def claude(gateway: Gateway) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway.root, api_key="any", max_retries=0, timeout=10) as client:
        yield client


@pytest.fixture
def gpt(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway.root + "/v1", api_key="any", max_retries=0, timeout=10) as client:
        yield client


def post(client: openai.OpenAI, body: dict[str, Any]) -> Any:
    return client.post("/tokens/count", body=body, cast_to=object)


@pytest.mark.parametrize(
    ("name", "model", "source"), [("fast", "gpt-4o", "counted"), ("wise", "claude-opus-4-6", "estimated")]
)
def test_anthropics_sdk_counts_for_a_model_that_speaks_openai_alone(
    claude: anthropic.Anthropic, upstream: Upstream, name: str, model: str, source: str
) -> None:
    tools: list[Any] = [TOOL]
    raw = claude.messages.with_raw_response.count_tokens(model=name, messages=ASK, system=SYSTEM, tools=tools)
    assert raw.parse().input_tokens == count_messages(ASK, model, system=SYSTEM, tools=tools)
    assert raw.headers[COUNTED] == source
    assert raw.headers["request-id"] == raw.headers["x-request-id"]
    assert upstream.requests == []


def test_a_provider_that_speaks_anthropic_is_asked(claude: anthropic.Anthropic, upstream: Upstream) -> None:
    upstream.answer = lambda _: steps(answer({"input_tokens": 77}))
    raw = claude.messages.with_raw_response.count_tokens(model="m", messages=ASK)
    assert raw.parse().input_tokens == 77
    assert COUNTED not in raw.headers
    assert [seen.target for seen in upstream.requests] == ["/v1/messages/count_tokens"]


def test_what_cannot_be_counted_raises_the_sdks_errors(claude: anthropic.Anthropic, gpt: openai.OpenAI) -> None:
    nothing: Any = "hello"
    with pytest.raises(anthropic.BadRequestError, match="messages") as refused:
        claude.messages.count_tokens(model="fast", messages=nothing)
    body: Any = refused.value.body
    assert body["error"]["type"] == "invalid_request_error"
    with pytest.raises(anthropic.NotFoundError, match="slow"):
        claude.messages.count_tokens(model="slow", messages=ASK)
    with pytest.raises(openai.BadRequestError, match="string or a list of strings") as wrong:
        post(gpt, {"model": "fast", "input": 5})
    assert wrong.value.param == "input"
    with pytest.raises(openai.NotFoundError):
        post(gpt, {"model": "slow", "input": "a"})


def test_openais_sdk_counts_chats_and_texts_by_a_path_of_ours(gpt: openai.OpenAI, upstream: Upstream) -> None:
    text = ASK[0]["content"]
    exact = {"model": "fast", "encoding": "o200k_base", "source": "counted"}
    chat = post(gpt, {"model": "fast", "messages": ASK, "stream": True, "max_tokens": 5})
    assert chat == exact | {"tokens": count_messages(ASK, "gpt-4o")}
    assert post(gpt, {"model": "fast", "text": text}) == exact | {"tokens": count(text, "gpt-4o")}
    assert post(gpt, {"model": "fast", "input": [text, text]})["tokens"] == 2 * count(text, "gpt-4o")
    about = {"model": "wise", "encoding": "o200k_base", "source": "estimated"}
    assert post(gpt, {"model": "wise", "text": text}) == about | {"tokens": count(text, "claude-opus-4-6")}
    assert upstream.requests == []


def test_long_texts_and_short_ones_are_counted_side_by_side(gateway: Gateway) -> None:
    long, short = "The quick brown fox jumps over the lazy dog.\n" * 40_000, "hello world"
    expected = {text: count(text, "gpt-4o") for text in (long, short)}

    async def many() -> list[tuple[str, Any]]:
        async with openai.AsyncOpenAI(
            base_url=gateway.root + "/v1", api_key="any", max_retries=0, timeout=30
        ) as client:

            async def one(text: str) -> tuple[str, Any]:
                return text, await client.post("/tokens/count", body={"model": "fast", "text": text}, cast_to=object)

            return list(await asyncio.gather(*(one(text) for text in [long, short] * 8)))

    for text, found in asyncio.run(many()):
        assert found["tokens"] == expected[text]
