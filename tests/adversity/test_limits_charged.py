"""What a request is charged, however its answer goes; what it reserves until then, and at what price."""

from typing import Any

import pytest

from penstock.tokens import count, count_messages
from tests.support.gateway import Gateway
from tests.support.kinds import ALL, CHAT, MESSAGES, TEXTS, USAGES, Kind
from tests.support.limits import TOKENS, limited, record, used
from tests.support.raw import Client
from tests.support.scene import ask, assert_refused, config_of, open_request, provider
from tests.support.script import Cut, Hold, Send, answer, chunk, stream, stream_head
from tests.support.upstream import Upstream


@pytest.fixture(scope="module")
def settings(module_upstream: Upstream) -> dict[str, Any]:
    plain = config_of(module_upstream)
    return {
        "providers": {**plain["providers"], "free": provider(module_upstream.root, free=True)},
        "models": {
            **plain["models"],
            "m-capped": {"targets": [{"provider": "up", "model": "x"}], "max_output_tokens": 50},
            "m-free": {"targets": [{"provider": "free"}]},
            "m-mixed": {
                "targets": [{"provider": "up", "model": "unknown"}],
                "fallback": [{"provider": "up", "model": "p-x"}],
            },
            "p-*": {"targets": [{"provider": "up"}]},
        },
        "prices": {"p-*": {"input": 1, "output": 10}},
        "limits": {
            "models": {
                **limited(counted={"tokens": "1000000/h", "requests": "100/h", "concurrent": 1}),
                "m-capped": {"tokens": "1000/h", "reserve": "cap"},
                "m-uncapped": {"tokens": "100000/h", "reserve": "cap"},
                "m-unpriced": {"budget": "1 usd/h"},
                "m-free": {"budget": "1 usd/h"},
                "m-mixed": {"budget": "1 usd/h"},
                "p-paid": {"budget": "0.1 usd/h"},
            },
        },
    }


def counted(gateway: Gateway, kind: Kind) -> tuple[int, int]:
    """Requests and tokens that the kind's model has used once all have ended; its slot must be free."""
    gateway.at_rest()
    now = used(gateway, f"m-counted-{kind.name}")
    assert now["concurrent"] == 0
    return now["requests"], now["tokens"]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_an_answer_is_charged_by_its_usage(gateway: Gateway, upstream: Upstream, kind: Kind, streamed: bool) -> None:
    upstream.always(stream(kind.frames, kind.media) if streamed else answer(kind.whole))
    requests, tokens = counted(gateway, kind)
    answered = ask(gateway, kind, streamed, f"m-counted-{kind.name}", max_tokens=5_000)
    assert answered.status == 200
    assert counted(gateway, kind) == (requests + 1, tokens + TOKENS)
    assert record(gateway, answered)["charged_tokens"] == TOKENS


def about(gateway: Gateway, kind: Kind, text: str, before: tuple[int, int]) -> None:
    """One more request is charged, by a count of its prompt and the text that passed."""
    model, asked = f"m-counted-{kind.name}", kind.body
    prompt = asked.get("prompt", asked.get("input"))
    tokens = count_messages(asked["messages"], model) if prompt is None else count(prompt, model)
    assert counted(gateway, kind) == (before[0] + 1, before[1] + tokens + count(text, model))


def test_an_answer_without_usage_is_charged_by_a_count(gateway: Gateway, upstream: Upstream) -> None:
    bare = {name: value for name, value in CHAT.whole.items() if name != "usage"}
    frames = [frame for frame in CHAT.frames if b'"usage": {' not in frame]
    for streamed, script in (False, answer(bare)), (True, stream(frames)):
        upstream.always(script)
        before = counted(gateway, CHAT)
        assert ask(gateway, CHAT, streamed, "m-counted-chat").status == 200
        about(gateway, CHAT, "".join(TEXTS), before)


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind is not MESSAGES], ids=lambda kind: kind.name)
@pytest.mark.parametrize("who", ["upstream", "client"])
def test_a_stream_that_ends_early_is_charged_for_what_passed(
    gateway: Gateway, upstream: Upstream, kind: Kind, who: str
) -> None:
    begun = next(n for n, frame in enumerate(kind.frames) if kind.text(b"".join(kind.frames[: n + 1])))
    frames = kind.frames[: begun + 1]
    end = Cut("reset") if who == "upstream" else Hold()
    upstream.always([stream_head(kind.media), *(Send(chunk(frame)) for frame in frames), end])
    before = counted(gateway, kind)
    with open_request(gateway, kind, True, f"m-counted-{kind.name}") as client:
        if who == "upstream":
            client.read()
        else:
            read_until(client, frames[-1])
    about(gateway, kind, kind.text(b"".join(frames)), before)


def read_until(client: Client, mark: bytes) -> None:
    """Reads until these bytes have come."""
    got = b""
    while mark not in got:
        got += client.sock.recv(65536)


def test_an_anthropic_stream_that_ends_early_is_charged_at_least_what_it_stated(
    gateway: Gateway, upstream: Upstream
) -> None:
    frames = MESSAGES.frames[:4]
    upstream.always([stream_head(), *(Send(chunk(frame)) for frame in frames), Cut("reset")])
    before = counted(gateway, MESSAGES)
    assert ask(gateway, MESSAGES, True, "m-counted-messages").status == 200
    after = counted(gateway, MESSAGES)
    stated = USAGES["penstock"]["prompt_tokens"]
    assert after[0] == before[0] + 1
    assert stated < after[1] - before[1] < 40


@pytest.mark.parametrize("status", [400, 500])
def test_an_upstreams_refusal_costs_no_tokens(gateway: Gateway, upstream: Upstream, status: int) -> None:
    upstream.always(answer({"error": {"message": "no"}}, status))
    before = counted(gateway, CHAT)
    assert ask(gateway, CHAT, False, "m-counted-chat").status == status
    assert counted(gateway, CHAT) == (before[0] + 1, before[1])


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_whoever_leaves_before_an_answer_is_charged_its_prompt(
    gateway: Gateway, upstream: Upstream, streamed: bool
) -> None:
    upstream.always([*([stream_head()] if streamed else []), Hold()])
    before = counted(gateway, CHAT)
    with open_request(gateway, CHAT, streamed, "m-counted-chat"):
        upstream.wait_request()
        reserved = used(gateway, "m-counted-chat")["tokens"]
        assert reserved > before[1], "while it runs it is reserved"
    requests, tokens = counted(gateway, CHAT)
    assert requests == before[0] + 1
    assert before[1] < tokens < reserved


def test_what_answers_usually_have_is_learned(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer({**CHAT.whole, "usage": {"prompt_tokens": 1, "completion_tokens": 4_000}}))
    for _ in range(3):
        assert ask(gateway, CHAT, False, "m-counted-chat").status == 200
    upstream.reset()
    upstream.always([Hold()])
    before = counted(gateway, CHAT)[1]
    with open_request(gateway, CHAT, False, "m-counted-chat"):
        upstream.wait_request()
        assert used(gateway, "m-counted-chat")["tokens"] - before > 1_000
    counted(gateway, CHAT)


def test_what_reserves_the_cap_asks_for_one(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer(CHAT.whole))
    refused = ask(gateway, CHAT, False, "m-uncapped")
    assert "max_tokens" in assert_refused(refused, CHAT, 400, "invalid_request")
    assert refused.json()["error"]["param"] == "max_tokens"
    assert ask(gateway, CHAT, False, "m-uncapped", max_completion_tokens=10).status == 200
    assert ask(gateway, CHAT, False, "m-capped").status == 200, "the model's own serves as well"
    upstream.queue([Hold()])
    before = used(gateway, "m-capped")["tokens"]
    upstream.requests.clear()
    with open_request(gateway, CHAT, False, "m-capped", n=2):
        seen = upstream.wait_request()
        prompt = len(seen.body.replace(b'"x"', b'"m-capped"'))
        assert used(gateway, "m-capped")["tokens"] - before == prompt + 2 * 50


def test_under_a_budget_a_target_needs_a_price(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer(CHAT.whole))
    refused = ask(gateway, CHAT, False, "m-unpriced")
    assert "up/m-unpriced" in assert_refused(refused, CHAT, 403, "model_unpriced")
    assert ask(gateway, CHAT, False, "m-free").status == 200
    assert used(gateway, "m-free") == {"budget": 0}
    assert ask(gateway, CHAT, False, "m-mixed").header("x-penstock-target") == "up/p-x"
    assert gateway.metrics().value("penstock_unpriced_requests_total") >= 2


def test_money_is_charged_at_the_price_of_who_answered(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(answer(CHAT.whole))
    answered = ask(gateway, CHAT, False, "p-paid")
    cost = 9 * 1_000 + 2 * 10_000
    assert used(gateway, "p-paid") == {"budget": cost}
    assert record(gateway, answered)["charged_nanousd"] == cost
