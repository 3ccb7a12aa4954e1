"""Keys as the official SDKs see them: what they send is taken, and a refusal is the SDK's own error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
import ollama
import openai
import pytest

from penstock.keys.secret import new_key_text
from tests.support.gateway import Gateway
from tests.support.kinds import CHAT, MESSAGES, OLLAMA_CHAT, Kind
from tests.support.office import Made, Office
from tests.support.scene import config_of
from tests.support.script import Hold, Send, answer, chunk, stream_head
from tests.support.upstream import Seen, Upstream, steps

ASK: list[Any] = [{"role": "user", "content": "hello"}]
WHOLE = {kind.path: kind.whole for kind in (CHAT, MESSAGES, OLLAMA_CHAT)}


def answer_whole(seen: Seen) -> Any:
    return steps(answer(WHOLE[seen.target]))


@pytest.fixture(scope="module")
def office(module_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with Gateway(tmp_path_factory.mktemp("gateway"), config_of(module_upstream, auth="keys")) as gateway:
        yield Office(gateway)


@pytest.fixture(autouse=True)
def _answers(upstream: Upstream) -> None:
    upstream.answer = answer_whole


@pytest.fixture
def refused(request: pytest.FixtureRequest, office: Office) -> tuple[str, str]:
    """A key that is refused, and the code."""
    code: str = request.param
    if code == "invalid_api_key":
        return new_key_text().text, code
    if code == "key_disabled":
        key = office.make()
        office.disable(key)
        return key.text, code
    lists: dict[str, dict[str, Any]] = {
        "model_not_allowed": {"models": ["m-*"]},
        "path_closed": {"paths": ["/embeddings"]},
        "network_not_allowed": {"networks": ["192.0.2.0/24"]},
    }
    return office.make(**lists[code]).text, code


UNKNOWN = pytest.mark.parametrize("refused", ["invalid_api_key", "key_disabled"], indirect=True)
FORBIDDEN = pytest.mark.parametrize(
    "refused", ["model_not_allowed", "path_closed", "network_not_allowed"], indirect=True
)


@contextmanager
def openai_of(office: Office, key: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=office.gateway.openai, api_key=key, max_retries=0, timeout=10) as client:
        yield client


@contextmanager
def anthropic_of(office: Office, **how: Any) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=office.gateway.root, max_retries=0, timeout=10, **how) as client:
        yield client


@contextmanager
def ollama_of(office: Office, key: str | None) -> Iterator[ollama.Client]:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    with ollama.Client(host=office.gateway.root, headers=headers, timeout=10) as client:
        yield client


def test_every_sdk_gets_in_with_a_key(office: Office) -> None:
    key = office.make()
    with openai_of(office, key.text) as client:
        assert client.chat.completions.create(model="m", messages=ASK).choices[0].message.content
        assert {model.id for model in client.models.list()} == {"m"}
    for how in ({"api_key": key.text}, {"api_key": None, "auth_token": key.text}):
        with anthropic_of(office, **how) as claude:
            assert claude.messages.create(model="m", messages=ASK, max_tokens=5).content
            assert {model.id for model in claude.models.list()} == {"m"}
    with ollama_of(office, key.text) as local:
        assert local.chat(model="m", messages=ASK).message.content
        assert {model.model for model in local.list().models} == {"m"}


def test_a_client_of_azures_shape_sends_its_key_as_api_key(office: Office) -> None:
    key = office.make()
    headers: dict[str, str | openai.Omit] = {"api-key": key.text, "Authorization": openai.Omit()}
    with openai_of(office, "-") as client:
        done = client.chat.completions.create(model="m", messages=ASK, extra_headers=headers)
    assert done.choices[0].message.content


@UNKNOWN
def test_openai_raises_that_the_key_is_wrong(office: Office, refused: tuple[str, str]) -> None:
    with openai_of(office, refused[0]) as client, pytest.raises(openai.AuthenticationError) as caught:
        client.chat.completions.create(model="m", messages=ASK)
    assert caught.value.code == "invalid_api_key"
    assert caught.value.response.headers["x-penstock-error"] == refused[1]
    assert caught.value.response.headers["www-authenticate"].startswith("Bearer")


@FORBIDDEN
@pytest.mark.parametrize("streamed", [False, True])
def test_openai_raises_that_it_is_not_allowed(office: Office, refused: tuple[str, str], streamed: bool) -> None:
    with openai_of(office, refused[0]) as client, pytest.raises(openai.PermissionDeniedError) as caught:
        client.chat.completions.create(model="m", messages=ASK, stream=streamed)
    assert caught.value.code == refused[1]
    assert caught.value.response.headers["x-penstock-error"] == refused[1]


@UNKNOWN
def test_anthropic_raises_that_the_key_is_wrong(office: Office, refused: tuple[str, str]) -> None:
    with anthropic_of(office, api_key=refused[0]) as client, pytest.raises(anthropic.AuthenticationError) as caught:
        client.messages.create(model="m", messages=ASK, max_tokens=5)
    assert caught.value.response.headers["x-penstock-error"] == refused[1]
    assert caught.value.response.json()["error"]["type"] == "authentication_error"


@FORBIDDEN
def test_anthropic_raises_that_it_is_not_allowed(office: Office, refused: tuple[str, str]) -> None:
    with anthropic_of(office, api_key=refused[0]) as client, pytest.raises(anthropic.PermissionDeniedError) as caught:
        client.messages.create(model="m", messages=ASK, max_tokens=5)
    assert caught.value.response.headers["x-penstock-error"] == refused[1]
    assert caught.value.response.json()["error"]["type"] == "permission_error"


@UNKNOWN
def test_ollama_raises_that_the_key_is_wrong(office: Office, refused: tuple[str, str]) -> None:
    with ollama_of(office, refused[0]) as client, pytest.raises(ollama.ResponseError) as caught:
        client.chat(model="m", messages=ASK)
    assert caught.value.status_code == 401
    assert "key" in caught.value.error


@FORBIDDEN
@pytest.mark.parametrize("streamed", [False, True])
def test_ollama_raises_that_it_is_not_allowed(office: Office, refused: tuple[str, str], streamed: bool) -> None:
    with ollama_of(office, refused[0]) as client, pytest.raises(ollama.ResponseError) as caught:
        list(client.chat(model="m", messages=ASK, stream=streamed))  # type: ignore[call-overload]
    assert caught.value.status_code == 403


def test_no_key_at_all_is_each_sdks_401(office: Office) -> None:
    with openai_of(office, "-") as client, pytest.raises(openai.AuthenticationError) as caught:
        client.models.list(extra_headers={"Authorization": openai.Omit()})
    assert caught.value.response.headers["x-penstock-error"] == "missing_api_key"
    with ollama_of(office, None) as local, pytest.raises(ollama.ResponseError) as refused:
        local.list()
    assert refused.value.status_code == 401


def test_a_disabled_key_fails_a_client_that_was_let_in_before(office: Office) -> None:
    key: Made = office.make()
    with openai_of(office, key.text) as client:
        client.chat.completions.create(model="m", messages=ASK)
        office.disable(key)
        with pytest.raises(openai.AuthenticationError):
            client.chat.completions.create(model="m", messages=ASK)


def parts_of(office: Office, kind: Kind, key: Made) -> Iterator[Any]:
    """What the SDK of a kind makes of a stream."""
    match kind.dialect:
        case "openai":
            with openai_of(office, key.text) as client:
                yield from client.chat.completions.create(model="m", messages=ASK, stream=True)
        case "anthropic":
            with anthropic_of(office, api_key=key.text) as claude:
                yield from claude.messages.create(model="m", messages=ASK, max_tokens=5, stream=True)
        case "ollama":
            with ollama_of(office, key.text) as local:
                yield from local.chat(model="m", messages=ASK, stream=True)


@pytest.mark.parametrize(
    ("kind", "error"),
    [(CHAT, openai.APIError), (MESSAGES, anthropic.APIError), (OLLAMA_CHAT, ollama.ResponseError)],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_stream_that_is_cut_raises(office: Office, upstream: Upstream, kind: Kind, error: type[Exception]) -> None:
    key = office.make()
    upstream.queue(steps(stream_head(kind.media), *(Send(chunk(frame)) for frame in kind.frames[:2]), Hold()))
    parts = parts_of(office, kind, key)
    next(parts)
    office.disable(key, cut=True)
    with pytest.raises(error, match="key"):
        list(parts)
