"""What an answer used and what that cost, told by the provider or counted here."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from penstock.tokens import count, count_messages
from tests.support.audit import query
from tests.support.gateway import Gateway
from tests.support.kinds import CHAT, MESSAGES, RESPONSES, TEXTS, Kind, data, event
from tests.support.kinds import chunk as openai_chunk
from tests.support.scene import ask, config_of, open_request, provider
from tests.support.script import Cut, Hold, Pause, Script, Send, answer, chunk, head, stream, stream_head
from tests.support.upstream import Upstream
from tests.support.wait import until


def recorded(gateway: Gateway, least: int) -> list[dict[str, Any]]:
    """The records once there are so many."""
    return until(lambda: rows if len(rows := query(gateway.data_dir)) >= least else None, f"{least} records") or []


def test_an_unstreamed_answer_tells_what_it_cost(upstream: Upstream, tmp_path: Path) -> None:
    usage = CHAT.whole["usage"]
    nanousd = 1_000 * usage["prompt_tokens"] + 10_000 * usage["completion_tokens"]
    cost = f"{nanousd / 10**9:.9f}".rstrip("0")
    config = config_of(upstream) | {"prices": {"m": {"input": 1, "output": 10}}}
    config["providers"]["free"] = config["providers"]["up"] | {"free": True}
    with Gateway(tmp_path, config) as gateway:

        def told(model: str = "m") -> str | None:
            return ask(gateway, CHAT, False, model).header("x-penstock-cost-usd")

        upstream.always(answer(CHAT.whole))
        assert told() == cost
        body = json.dumps(CHAT.whole).encode()
        begun = Send(head(200, {"content-type": "application/json", "content-length": str(len(body))}))
        upstream.always([begun, Pause(0.02), Send(body[:50]), Pause(0.02), Send(body[50:])])
        assert told() == cost, "its body comes behind its head"
        upstream.always([begun, Send(body[:50]), Pause(0.4), Send(body[50:])])
        late = ask(gateway, CHAT, False)
        assert (late.json(), late.header("x-penstock-cost-usd")) == (CHAT.whole, None)
        upstream.always(answer(CHAT.whole))
        assert told("free/x") == "0"
        assert told("m-unknown") is None
        assert gateway.at_rest().value("penstock_unpriced_requests_total") == 1
        upstream.always(stream(CHAT.frames))
        assert ask(gateway, CHAT).header("x-penstock-cost-usd") is None
        rows = sorted(recorded(gateway, 6), key=lambda row: str(row["started"]))
    assert [row["cost_nanousd"] for row in rows[:5]] == [nanousd, nanousd, nanousd, 0, None]


def test_the_list_prices_what_the_configuration_does_not(upstream: Upstream, tmp_path: Path) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 40}}
    upstream.always(answer({**CHAT.whole, "usage": usage, "service_tier": "flex"}))
    config: dict[str, Any] = config_of(upstream, prices={"gpt-5-nano": {"input": 0, "output": 0}})
    config["providers"] = {"up": provider(upstream.root, kind="openai", api_key="sk-up")}
    with Gateway(tmp_path, config) as gateway:
        for model in ("gpt-5-mini-2025-08-07", "gpt-5-nano", "gpt-nobody-knows"):
            assert ask(gateway, CHAT, False, f"up/{model}").status == 200
        rows = recorded(gateway, 3)
    listed = (60 * 250 + 40 * 25 + 10 * 2_000) // 2
    assert [row["cost_nanousd"] for row in rows] == [listed, 0, None]


def bare(frames: Sequence[bytes]) -> list[bytes]:
    return [frame for frame in frames if b'"usage": {' not in frame]


def test_what_an_answer_does_not_say_is_counted(upstream: Upstream, tmp_path: Path) -> None:
    config = config_of(upstream, limits={"providers": {"up": {"tokens": "1000000/h"}}})
    text, short = "".join(TEXTS), CHAT.body["messages"]
    whole = {name: value for name, value in CHAT.whole.items() if name != "usage"}
    nothing = {**whole, "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}}
    cut: Script = [stream_head(), *(Send(chunk(frame)) for frame in bare(CHAT.frames)[:2]), Cut("reset")]
    middle, long = ([{"role": "user", "content": "word " * times}] for times in (4_000, 8_000))
    words = [f"word{number}\n \n" for number in range(2_000)]
    wordy = stream([*(data(openai_chunk(word)) for word in (*words, None)), *bare(CHAT.frames)[-2:]])
    expected: dict[str, tuple[str, int, int]] = {}
    with Gateway(tmp_path, config) as gateway:

        def asks(
            script: Script, streamed: bool, source: str, said: str = text, model: str = "gpt-4o", **more: Any
        ) -> None:
            upstream.always(script)
            name = str(ask(gateway, CHAT, streamed, f"up/{model}", **more).header("x-request-id"))
            expected[name] = (source, count_messages(more.get("messages", short), model), count(said, model))

        for model, source in (("gpt-4o", "counted"), ("gpt-4o-mini-2024-07-18", "counted"), ("qwen3", "estimated")):
            asks(answer(whole), False, source, model=model)
            asks(answer(nothing), False, source, model=model)
            asks(stream(bare(CHAT.frames)), True, source, model=model)
            asks(cut, True, source, model=model)
        asks(answer(whole), False, "counted", messages=middle)
        asks(stream(bare(CHAT.frames)), True, "estimated", n=2)
        asks(wordy, True, "counted", "".join(words))
        asks(answer(whole), False, "estimated", messages=long)
        too_long = list(expected)[-1]
        rows = {row["request_id"]: row for row in recorded(gateway, len(expected))}
    for name, (source, prompt, completion) in expected.items():
        row, usage = rows[name], rows[name]["usage"]
        assert row["charged_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        assert (row["usage_source"], usage["completion_tokens"]) == (source, completion)
        if name == too_long:
            assert 0.9 * prompt < usage["prompt_tokens"] < 2 * prompt, "it was not kept"
        else:
            assert usage["prompt_tokens"] == prompt


def test_a_stream_whose_client_leaves_is_counted_to_there(upstream: Upstream, tmp_path: Path) -> None:
    frames = CHAT.frames[:2]
    upstream.always([stream_head(), *(Send(chunk(frame)) for frame in frames), Hold()])
    with Gateway(tmp_path, config_of(upstream)) as gateway:
        with open_request(gateway, CHAT, True, "up/gpt-4o") as client:
            got = b""
            while frames[1] not in got:
                got += client.sock.recv(65_536)
        (row,) = recorded(gateway, 1)
    assert (row["outcome"], row["usage_source"]) == ("client_gone", "counted")
    assert row["usage"]["completion_tokens"] == count("".join(TEXTS), "gpt-4o")
    assert row["usage"]["prompt_tokens"] == count_messages(CHAT.body["messages"], "gpt-4o")


def message(text: str) -> bytes:
    at = {"type": "content_block_delta", "index": 0}
    return event({**at, "delta": {"type": "text_delta", "text": text}})


def call(**function: str) -> bytes:
    return data({**openai_chunk(None), "choices": [{"index": 0, "delta": {"tool_calls": [{"function": function}]}}]})


def test_what_was_written_counts_however_the_answer_ends(upstream: Upstream, tmp_path: Path) -> None:
    config = config_of(upstream, limits={"providers": {"up": {"tokens": "1000000/h"}}})
    text = "".join(f"word{number} " for number in range(300))
    failed = event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    stated = {**openai_chunk("Hi"), "usage": {"prompt_tokens": 9, "completion_tokens": 100, "total_tokens": 109}}
    refused = {"error": {"code": 502, "message": "Provider returned error"}}
    kept: dict[str, Any] = {"input": "And?", "previous_response_id": "resp_1"}
    with Gateway(tmp_path, config) as gateway:

        def row(
            kind: Kind, script: Script, model: str = "gpt-4o", streamed: bool = True, **more: Any
        ) -> dict[str, Any]:
            upstream.always(script)
            name = ask(gateway, kind, streamed, f"up/{model}", **more).header("x-request-id")

            def found() -> list[dict[str, Any]]:
                return [row for row in query(gateway.data_dir) if row["request_id"] == name]

            (it,) = until(found, "its record")
            return it

        def used(row: dict[str, Any]) -> tuple[str, int]:
            return row["usage_source"], row["usage"]["completion_tokens"]

        def broken_off(*frames: bytes) -> Script:
            return [stream_head(), *(Send(chunk(frame)) for frame in frames), Cut()]

        broken = row(MESSAGES, stream([MESSAGES.frames[0], message(text), failed]))
        assert used(broken) == ("counted", count(text, "gpt-4o")), "and not the 1 that it began with"
        assert broken["usage"]["prompt_tokens"] == 9
        assert used(row(CHAT, broken_off(data(stated)), "qwen3")) == ("provider", 100), "nothing was written since"
        assert used(row(CHAT, broken_off(data(stated), data(openai_chunk(text))), "qwen3"))[1] > 300
        called = broken_off(call(name="f", arguments=""))
        assert used(row(CHAT, called))[0] == "estimated", "the name of what is called is not counted"
        said = broken_off(data(openai_chunk("Hi")))
        assert used(row(CHAT, said)) == ("counted", 1)
        assert used(row(CHAT, said, "o3")) == ("estimated", 1), "what it thought is not seen"
        response = broken_off(*RESPONSES.frames[:3])
        assert used(row(RESPONSES, response, **kept)) == ("estimated", count("".join(TEXTS), "gpt-4o"))
        error = row(CHAT, answer(refused), streamed=False)
        assert (error["status"], error["error"], error["outcome"]) == (200, "upstream_error", "complete")
        assert (error.get("usage"), error.get("charged_tokens")) == (None, None), "nobody pays for it"
        body = json.dumps(refused).encode()
        begun = Send(head(200, {"content-type": "application/json", "content-length": str(len(body))}))
        late = row(CHAT, [begun, Pause(0.3), Send(body)], streamed=False)
        assert (late["error"], late.get("usage"), late.get("charged_tokens")) == ("upstream_error", None, None)
        both = {**refused, "choices": CHAT.whole["choices"]}
        assert used(row(CHAT, answer(both), streamed=False)) == ("counted", count("".join(TEXTS), "gpt-4o"))
