"""What a request reserves, by what it asks for: no trick makes it less, and no guess more than a limit."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.gateway import Gateway
from tests.support.kinds import CHAT, COMPLETIONS, MESSAGES, OLLAMA_CHAT, RESPONSES, Kind
from tests.support.limits import used
from tests.support.raw import Client, post, request
from tests.support.scene import ask, assert_refused, config_of, open_request
from tests.support.script import Hold, Send, answer, chunk, stream_head
from tests.support.upstream import Upstream
from tests.support.wait import until

FORM = {"content-type": "multipart/form-data; boundary=b"}
CAP = {"tokens": "1000000/h", "reserve": "cap"}


@pytest.fixture(scope="module")
def settings(module_upstream: Upstream) -> dict[str, Any]:
    plain = config_of(module_upstream)
    return {
        **plain,
        "models": {**plain["models"], "p-*": {"targets": [{"provider": "up"}]}},
        "prices": {"p-*": {"input": 1, "output": 10}},
        "limits": {
            "models": {
                "m-cap": CAP,
                "m-sound": CAP,
                "m-background": {"tokens": "1000000/h"},
                "m-tight": {"tokens": "300/h"},
                "m-learned": {"tokens": "300/h"},
                "p-tight": {"budget": "0.001 usd/h"},
                "m-counted": {"tokens": "1000000/h"},
            }
        },
    }


def reserved(gateway: Gateway, upstream: Upstream, model: str, kind: Kind, **more: Any) -> tuple[int, int]:
    """What is held while a request is in flight beyond the bytes of its body, and its body's length."""
    upstream.reset()
    upstream.always([Hold()])
    before = used(gateway, model)["tokens"]
    with open_request(gateway, kind, False, model, **more):
        seen = upstream.wait_request()
        held = used(gateway, model)["tokens"] - before
    until(lambda: used(gateway, model)["tokens"] < before + held, "what was held is given back")
    body = seen.body.replace(b'"x"', f'"{model}"'.encode())
    return held, len(body)


def test_each_of_many_prompts_is_reserved_for(gateway: Gateway, upstream: Upstream) -> None:
    prompts = {"prompt": ["a", "b", "c"], "max_tokens": 100, "n": 2}
    held, body = reserved(gateway, upstream, "m-cap", COMPLETIONS, **prompts)
    assert held == body + 3 * 2 * 100


@pytest.mark.parametrize(
    ("kind", "more", "field"),
    [
        (CHAT, {"max_output_tokens": 1}, "max_tokens"),
        (CHAT, {"max_tokens": 1, "n_predict": -1}, "n_predict"),
        (RESPONSES, {"max_tokens": 1}, "max_output_tokens"),
        (OLLAMA_CHAT, {"options": {"num_predict": -1}}, "options.num_predict"),
        (OLLAMA_CHAT, {"max_tokens": 1}, "options.num_predict"),
    ],
)
def test_a_cap_that_the_upstream_does_not_know_is_none(
    gateway: Gateway, upstream: Upstream, kind: Kind, more: Mapping[str, Any], field: str
) -> None:
    plain = {name: value for name, value in kind.body.items() if name != "max_tokens"}
    refused = post(gateway.address, kind.path, {"model": "m-cap", **plain, "stream": False, **more}, kind.headers)
    assert field in assert_refused(refused, kind, 400, "invalid_request")
    assert not upstream.heads


@pytest.mark.parametrize(("model", "kind"), [("m-tight", "tokens"), ("p-tight", "budget")])
def test_a_guess_is_at_most_what_the_limit_leaves(gateway: Gateway, upstream: Upstream, model: str, kind: str) -> None:
    upstream.always(answer(CHAT.whole))
    assert ask(gateway, CHAT, False, model).status == 200, "500 tokens are the first guess"
    assert 0 < used(gateway, model)[kind] <= 29_000


def test_long_answers_do_not_shut_out_a_key(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer({**CHAT.whole, "usage": {"prompt_tokens": 1, "completion_tokens": 90_000}}))
    assert ask(gateway, CHAT, False, "m-learned").status == 200
    refused = ask(gateway, CHAT, False, "m-learned")
    assert_refused(refused, CHAT, 429, "rate_limit_tokens")


def test_what_is_cut_by_the_clients_cap_is_not_learned(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer({**CHAT.whole, "usage": {"prompt_tokens": 1, "completion_tokens": 2}}))
    for _ in range(3):
        assert ask(gateway, CHAT, False, "m-counted", max_tokens=2).status == 200
    held, body = reserved(gateway, upstream, "m-counted", CHAT)
    assert held == -(-body // 3) + 500


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_an_answer_in_the_background_is_charged_as_reserved(
    gateway: Gateway, upstream: Upstream, streamed: bool
) -> None:
    queued: dict[str, Any] = {"id": "r", "object": "response", "status": "queued", "output": [], "usage": None}
    upstream.always([stream_head(), Send(chunk(RESPONSES.frames[0])), Hold()] if streamed else answer(queued))
    before = used(gateway, "m-background")["tokens"]
    more = {"background": True, "max_output_tokens": 400}
    if streamed:
        with open_request(gateway, RESPONSES, True, "m-background", **more) as client:
            client.read_head()
    else:
        assert ask(gateway, RESPONSES, False, "m-background", **more).status == 200
    until(lambda: used(gateway, "m-background")["tokens"] - before > 400, "it is charged")
    assert used(gateway, "m-background")["tokens"] - before < 500


def part(name: str, content: bytes, more: str = "") -> bytes:
    return f'--b\r\ncontent-disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"


def test_a_form_is_no_chat(gateway: Gateway, upstream: Upstream) -> None:
    for kind in (CHAT, MESSAGES):
        refused = post(gateway.address, kind.path, part("model", b"m") + b"--b--\r\n", {**kind.headers, **FORM})
        assert "multipart" in assert_refused(refused, kind, 400, "invalid_request")
    assert not upstream.heads


def test_of_a_form_that_flows_the_rest_may_be_text(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always([Hold()])
    body = part("model", b"m-sound") + part("file", b"x" * 200_000, '; filename="a"')
    head = {**FORM, "content-length": str(len(body) + 5)}
    with Client(gateway.address) as client:
        client.send(request("POST", "/v1/audio/transcriptions", body, head))
        until(lambda: upstream.heads, "it flows")
        assert 40_000 < used(gateway, "m-sound")["tokens"] <= 200_000
    until(lambda: used(gateway, "m-sound")["tokens"] < 10, "it is given back")


def test_a_form_without_a_length_has_no_most(gateway: Gateway, upstream: Upstream) -> None:
    body = part("model", b"m-sound") + part("file", b"x" * 200_000, '; filename="a"') + b"--b--\r\n"
    chunks = b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    head = b"\r\n".join(
        [
            b"POST /v1/audio/transcriptions HTTP/1.1",
            b"host: localhost",
            b"content-type: multipart/form-data; boundary=b",
            b"transfer-encoding: chunked",
            b"\r\n",
        ]
    )
    with Client(gateway.address) as client:
        client.send(head + chunks)
        refused = client.read()
    assert "content-length" in assert_refused(refused, CHAT, 400, "invalid_request")
    assert not upstream.heads
