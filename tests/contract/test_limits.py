"""Limits as the official SDKs see them: each raises its own error, and waits or gives up as the headers say."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import ollama
import openai
import pytest

from tests.support.gateway import Gateway
from tests.support.kinds import CHAT, MESSAGES, OLLAMA_CHAT, Kind
from tests.support.loop import LoopThread
from tests.support.office import Office
from tests.support.scene import ask, config_of
from tests.support.script import answer, stream
from tests.support.upstream import Seen, Upstream, steps

ASK: list[Any] = [{"role": "user", "content": "hello"}]
KINDS = {kind.path: kind for kind in (CHAT, MESSAGES, OLLAMA_CHAT)}
REFUSALS = pytest.mark.parametrize(
    ("limit", "code", "type_"),
    [
        ({"requests": "1/h"}, "rate_limit_requests", "requests"),
        ({"tokens": "600/h"}, "rate_limit_tokens", "tokens"),
        ({"budget": "0.006 usd/h"}, "budget_exceeded", "insufficient_quota"),
    ],
    ids=["requests", "tokens", "budget"],
)


def answer_in_kind(seen: Seen) -> Any:
    """What the limits of this page allow once: 100 tokens and more."""
    usage: dict[str, dict[str, Any]] = {
        CHAT.path: {"usage": {"prompt_tokens": 9, "completion_tokens": 99, "total_tokens": 108}},
        MESSAGES.path: {"usage": {"input_tokens": 9, "output_tokens": 99}},
        OLLAMA_CHAT.path: {"prompt_eval_count": 9, "eval_count": 99},
    }
    kind = KINDS[seen.target]
    if seen.json().get("stream"):
        frames = [frame.replace(b'"completion_tokens": 2', b'"completion_tokens": 99') for frame in kind.frames]
        return steps(stream(frames, kind.media))
    return steps(answer({**kind.whole, **usage[seen.target]}))


@pytest.fixture(scope="module")
def office(module_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    config = config_of(module_upstream, auth="keys", prices={"m": {"input": 1, "output": 10}})
    with Gateway(tmp_path_factory.mktemp("gateway"), config) as gateway:
        yield Office(gateway)


@pytest.fixture(autouse=True)
def _answers(upstream: Upstream) -> None:
    upstream.answer = answer_in_kind


def openai_of(office: Office, key: str, retries: int = 0) -> openai.OpenAI:
    return openai.OpenAI(base_url=office.gateway.openai, api_key=key, max_retries=retries, timeout=10)


def anthropic_of(office: Office, key: str, retries: int = 0) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=office.gateway.root, api_key=key, max_retries=retries, timeout=10)


def until_refused(once: Callable[[], object], error: type[Exception]) -> Any:
    """Asks until a limit refuses; the error of the SDK."""

    def again() -> None:
        for _ in range(20):
            once()

    once()
    with pytest.raises(error) as caught:
        again()
    return caught.value


@REFUSALS
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_openais_sdk_raises_its_error_of_rates(
    office: Office, limit: dict[str, str], code: str, type_: str, streamed: bool
) -> None:
    key = office.make(limits=limit)
    with openai_of(office, key.text) as client:

        def once() -> None:
            made = client.chat.completions.create(model="m", messages=ASK, max_tokens=500, stream=streamed)
            if streamed:
                list(made)

        error = until_refused(once, openai.RateLimitError)
    assert (error.type, error.status_code) == (type_, 429)
    assert error.code == ("insufficient_quota" if code == "budget_exceeded" else "rate_limit_exceeded")
    headers = error.response.headers
    assert headers["x-penstock-error"] == code
    assert int(headers["retry-after"]) > 0
    if "budget" not in limit:
        kind = next(iter(limit))
        assert int(headers[f"x-ratelimit-limit-{kind}"]) == int(limit[kind].split("/")[0])
        assert int(headers[f"x-ratelimit-remaining-{kind}"]) < 600
        assert headers[f"x-ratelimit-reset-{kind}"]
    assert "of this API key is reached" in error.message


@REFUSALS
def test_anthropics_sdk_raises_its_error_of_rates(office: Office, limit: dict[str, str], code: str, type_: str) -> None:
    key = office.make(limits=limit)
    with anthropic_of(office, key.text) as client:
        error = until_refused(
            lambda: client.messages.create(model="m", messages=ASK, max_tokens=500), anthropic.RateLimitError
        )
    assert error.body["error"]["type"] == "rate_limit_error"
    headers = error.response.headers
    assert headers["x-penstock-error"] == code
    assert not [name for name in headers if name.startswith("x-ratelimit-")]
    if "budget" not in limit:
        assert headers[f"anthropic-ratelimit-{next(iter(limit))}-reset"].endswith("Z")


@REFUSALS
def test_ollamas_sdk_raises_its_error(office: Office, limit: dict[str, str], code: str, type_: str) -> None:
    key = office.make(limits=limit)
    headers = {"authorization": f"Bearer {key.text}"}
    with ollama.Client(office.gateway.root, headers=headers, timeout=10) as client:
        error = until_refused(
            lambda: client.chat(model="m", messages=ASK, options={"num_predict": 500}), ollama.ResponseError
        )
    assert error.status_code == 429
    assert "of this API key is reached" in error.error


@pytest.mark.parametrize("kind", [CHAT, MESSAGES], ids=lambda kind: kind.name)
def test_an_sdk_waits_as_long_as_it_is_told_and_then_gets_its_answer(office: Office, kind: Kind) -> None:
    key = office.make(limits={"requests": "1/s"})
    began = time.monotonic()
    if kind is CHAT:
        with openai_of(office, key.text, retries=2) as client:
            for _ in range(2):
                assert client.chat.completions.create(model="m", messages=ASK).choices
    else:
        with anthropic_of(office, key.text, retries=2) as client_a:
            for _ in range(2):
                assert client_a.messages.create(model="m", messages=ASK, max_tokens=9).content
    assert time.monotonic() - began > 0.9


@pytest.mark.parametrize("kind", [CHAT, MESSAGES], ids=lambda kind: kind.name)
def test_an_sdk_does_not_ask_again_when_the_money_is_spent(office: Office, kind: Kind) -> None:
    key = office.make(limits={"budget": "0.0011 usd/h"})

    def refusals() -> float:
        return office.gateway.metrics().value("penstock_limit_refusals_total", scope="key", kind="budget")

    before = refusals()
    if kind is CHAT:
        with openai_of(office, key.text, retries=2) as client:
            until_refused(
                lambda: client.chat.completions.create(model="m", messages=ASK, max_tokens=99), openai.RateLimitError
            )
    else:
        with anthropic_of(office, key.text, retries=2) as client_a:
            until_refused(
                lambda: client_a.messages.create(model="m", messages=ASK, max_tokens=99), anthropic.RateLimitError
            )
    assert refusals() == before + 1


def test_a_team_is_a_pool_and_a_key_sees_what_is_left_of_both(office: Office) -> None:
    team = office.call("POST", "/admin/v1/teams", {"name": "red", "limits": {"requests": "3/h"}}, 201)
    keys = [office.make(team=team["id"], limits={"tokens": "5000/h"}) for _ in range(2)]
    for key in (keys[0], keys[1], keys[0]):
        with openai_of(office, key.text) as client:
            client.chat.completions.create(model="m", messages=ASK)
    with openai_of(office, keys[1].text) as client, pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="m", messages=ASK)
    assert "The limit of 3 requests per hour of the team red is reached" in caught.value.message
    with openai_of(office, keys[0].text) as client:
        shown: Any = client.get("/key", cast_to=object)
    by_kind = {limit["kind"]: limit for limit in shown["limits"]}
    tokens, requests = by_kind["tokens"], by_kind["requests"]
    assert (tokens["from"], tokens["limit"], tokens["used"], tokens["remaining"]) == ("key", "5000/h", 216, 4784)
    assert (requests["from"], requests["limit"], requests["used"], requests["remaining"]) == ("team", "3/h", 3, 0)
    assert 0 < requests["reset_ms"] <= 3_700_000


def test_what_a_key_does_not_set_comes_from_the_default(
    loop: LoopThread, module_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    limits = {"default": {"requests": "2/h", "concurrent": 5}}
    with Gateway(tmp_path_factory.mktemp("gateway"), config_of(module_upstream, limits=limits)) as gateway:
        assert [ask(gateway, CHAT, False).status for _ in range(3)] == [200, 200, 429], "the key `open`"
    with Gateway(tmp_path_factory.mktemp("keys"), config_of(module_upstream, auth="keys", limits=limits)) as gateway:
        office = Office(gateway)
        key = office.make(limits={"requests": "none"})
        with openai_of(office, key.text) as client:
            for _ in range(3):
                client.chat.completions.create(model="m", messages=ASK)
            shown: Any = client.get("/key", cast_to=object)
        assert [(limit["kind"], limit["from"], limit["limit"]) for limit in shown["limits"]] == [
            ("concurrent", "default", "5")
        ]
