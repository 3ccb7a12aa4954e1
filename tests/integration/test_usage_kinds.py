"""What is paid for beside the tokens that an answer states: thought, sound, speech, fast mode, parts of cut ones."""

import contextlib
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from penstock.tokens import count, count_messages
from tests.support.audit import query
from tests.support.gateway import Gateway, run
from tests.support.kinds import CHAT, MESSAGES, OLLAMA_CHAT, TEXTS, data
from tests.support.raw import Answer, Client, Closed, post, request
from tests.support.scene import ask, assert_refused, config_of
from tests.support.script import Cut, Pause, Script, Send, WaitFor, answer, head, stream, whole
from tests.support.upstream import Upstream
from tests.support.wait import until

PRICES = {"m": {"input": 1, "output": 10, "priority": 2}}
SPEECH = "/v1/audio/speech"


def recorded(gateway: Gateway, least: int) -> list[dict[str, Any]]:
    """The records in their order, once there are so many."""
    found = until(lambda: rows if len(rows := query(gateway.data_dir)) >= least else None, f"{least} records") or []
    return sorted(found, key=lambda row: str(row["started"]))


def unpriced(gateway: Gateway) -> float | None:
    return gateway.at_rest().value("penstock_unpriced_requests_total")


def shipped(gateway: Gateway) -> float:
    return gateway.metrics().value("penstock_shipped_records_total")


def transcribe(gateway: Gateway, model: str = "m", sound: str = "RIFF") -> Answer:
    form = f'--B\r\ncontent-disposition: form-data; name="model"\r\n\r\n{model}\r\n'
    form += f'--B\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n{sound}\r\n--B--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=B"}
    return post(gateway.address, "/v1/audio/transcriptions", form.encode(), headers)


@pytest.mark.parametrize("streamed", [False, True])
def test_what_a_model_thought_is_paid_for_where_only_the_total_has_it(
    upstream: Upstream, tmp_path: Path, streamed: bool
) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 111}
    last = data({"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": usage})
    upstream.always(
        stream([*CHAT.frames[:3], last, CHAT.frames[-1]]) if streamed else answer({**CHAT.whole, "usage": usage})
    )
    with Gateway(tmp_path, config_of(upstream, prices=PRICES)) as gateway:
        assert ask(gateway, CHAT, streamed).status == 200
        (row,) = recorded(gateway, 1)
    assert (row["usage"]["completion_tokens"], row["usage"]["reasoning_tokens"]) == (102, 100)
    assert row["cost_nanousd"] == 9 * 1_000 + 102 * 10_000


def test_sound_is_paid_for_by_its_seconds_and_unknown_where_nobody_says_how_many(
    upstream: Upstream, tmp_path: Path
) -> None:
    prices = {"m": {"input": 0, "output": 0, "audio_second": 100}, "m-tokens": {"input": 1, "output": 1}}
    told: list[Script] = [
        answer({"text": "Hi", "usage": {"type": "duration", "seconds": 2.1}}),
        answer({"text": "Hi", "usage": {"prompt_audio_seconds": 4, "prompt_tokens": 4, "total_tokens": 900}}),
        answer({"text": "Hi", "usage": {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}}),
        whole(b"1\n00:00:00,000 --> 00:00:01,000\nHi\n", kind="text/plain; charset=utf-8"),
    ]
    with Gateway(tmp_path, config_of(upstream, prices=prices)) as gateway:
        for script in told:
            upstream.always(script)
            assert transcribe(gateway).status == 200
        assert unpriced(gateway) == 2
        upstream.always(answer({"text": "Hi", "usage": {"prompt_tokens": 4, "total_tokens": 900}}))
        assert transcribe(gateway, "m-tokens").status == 200
        rows = recorded(gateway, 5)
        until(lambda: shipped(gateway) == 5, "they are in the store")
        (summed,) = gateway.ask("GET", "/admin/v1/usage?since=1d").json()["items"]
        verified = run("audit", "verify", "-c", str(gateway.config_file))
        assert verified.returncode == 0, verified.stdout
    assert [row["cost_nanousd"] for row in rows] == [300_000, 400_000, None, None, 4_000]
    assert [row.get("unpriced") for row in rows] == [None, None, 1, 1, None]
    assert (summed["requests"], summed["unpriced"], summed["cost_nanousd"]) == (5, 2, 704_000)


def test_sound_of_unknown_length_is_charged_to_a_budget_by_its_bytes(upstream: Upstream, tmp_path: Path) -> None:
    prices = {"m": {"input": 0, "output": 0, "audio_second": 100}}
    config = config_of(upstream, prices=prices, limits={"global": {"budget": "0.0025 usd/day"}})
    with Gateway(tmp_path, config) as gateway:
        upstream.always(answer({"text": "Hi", "usage": {"type": "duration", "seconds": 3}}))
        assert transcribe(gateway, sound="x" * 40_000).status == 200
        upstream.always(whole(b"Hi\n", kind="text/plain; charset=utf-8"))
        for status in (200, 200, 429):
            assert transcribe(gateway, sound="x" * 40_000).status == status
        rows = recorded(gateway, 4)
    assert [row["cost_nanousd"] for row in rows] == [300_000, None, None, None]
    assert [row.get("charged_nanousd") for row in rows] == [300_000, 1_000_000, 1_000_000, None]


def test_speech_is_paid_for_by_its_characters_and_unknown_where_its_tokens_are(
    upstream: Upstream, tmp_path: Path
) -> None:
    prices = {"m": {"input": 0, "output": 0, "input_character": 15}, "m-tokens": {"input": 1, "output": 1}}
    config = config_of(upstream, prices=prices, limits={"global": {"budget": "1 usd/day"}})
    said = {"input": 'Hé😀 \n"', "voice": "alloy"}
    with Gateway(tmp_path, config) as gateway:
        upstream.always(whole(b"\0" * 100_000, kind="audio/mpeg"))
        spoken = post(gateway.address, SPEECH, {"model": "m", **said})
        assert (spoken.status, spoken.header("x-penstock-cost-usd")) == (200, "0.00009")
        upstream.always(answer({"error": {"message": "no"}}, 400))
        assert post(gateway.address, SPEECH, {"model": "m", **said}).status == 400
        assert unpriced(gateway) == 0
        upstream.always(whole(b"\0", kind="audio/mpeg"))
        assert post(gateway.address, SPEECH, {"model": "m-tokens", **said}).status == 200
        assert unpriced(gateway) == 1
        usage = {"input_tokens": 4, "output_tokens": 2, "total_tokens": 6}
        upstream.always(stream([data({"type": "speech.audio.done", "usage": usage})]))
        assert post(gateway.address, SPEECH, {"model": "m-tokens", **said}).status == 200
        rows = recorded(gateway, 4)
    assert [row["cost_nanousd"] for row in rows] == [6 * 15_000, None, None, 6_000]
    assert [row.get("charged_nanousd") for row in rows[:2]] == [6 * 15_000, None]


def test_fast_mode_has_its_own_price_or_none(upstream: Upstream, tmp_path: Path) -> None:
    def told(speed: str) -> Script:
        usage = {"input_tokens": 9, "output_tokens": 2, "service_tier": "standard", "speed": speed}
        return answer({**MESSAGES.whole, "usage": usage})

    prices = {"m": {"input": 1, "output": 10}, "m-fast": {"input": 1, "output": 10, "fast": 6}}
    config = config_of(upstream, prices=prices)
    for name in ("open", "allowed", "limited"):
        (tmp_path / name).mkdir()
    with Gateway(tmp_path / "open", config) as gateway:
        for model, speed in (("m-fast", "fast"), ("m-fast", "standard"), ("m", "fast"), ("m", "standard")):
            upstream.always(told(speed))
            assert ask(gateway, MESSAGES, False, model, speed="fast").status == 200
        assert unpriced(gateway) == 1
        rows = recorded(gateway, 4)
    assert [row["cost_nanousd"] for row in rows] == [6 * 29_000, 29_000, None, 29_000]
    limits = {"global": {"budget": "1 usd/day"}}
    with Gateway(tmp_path / "allowed", config | {"limits": limits | {"unpriced": "allow"}}) as gateway:
        upstream.always(answer(MESSAGES.whole))
        assert ask(gateway, MESSAGES, False, "m", speed="fast").status == 200
        (row,) = recorded(gateway, 1)
        assert row["cost_nanousd"] == row["charged_nanousd"] > 0, "who does not heed it says nothing of it"
    upstream.always(told("fast"))
    with Gateway(tmp_path / "limited", config | {"limits": limits}) as gateway:
        refused = ask(gateway, MESSAGES, False, "m", speed="fast")
        assert_refused(refused, MESSAGES, 403, "model_unpriced")
        assert ask(gateway, MESSAGES, False, "m-fast", speed="fast").status == 200
        assert ask(gateway, MESSAGES, False, "m").status == 200


@pytest.mark.parametrize("streamed", [False, True])
def test_a_context_that_was_made_shorter_is_paid_for_and_another_models_price_is_unknown(
    upstream: Upstream, tmp_path: Path, streamed: bool
) -> None:
    def told(*iterations: dict[str, Any]) -> Script:
        usage = {"input_tokens": 9, "output_tokens": 2, "iterations": [{"type": "message"}, *iterations]}
        if not streamed:
            return answer({**MESSAGES.whole, "usage": usage})
        start = {
            "type": "message_start",
            "message": {**MESSAGES.whole, "usage": {"input_tokens": 9, "output_tokens": 1}},
        }
        end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
        parts = [event(start), event(end), event({"type": "message_stop"})]
        return stream(parts)

    def event(value: dict[str, Any]) -> bytes:
        return f"event: {value['type']}\n".encode() + data(value)

    tokens = {"input_tokens": 1000, "output_tokens": 30}
    prices = {"m": {"input": 1, "output": 10, "above": {500: {"input": 2}}}}
    config = config_of(upstream, prices=prices, limits={"global": {"budget": "1 usd/day"}})
    with Gateway(tmp_path, config) as gateway:
        upstream.always(told({"type": "compaction", **tokens}))
        assert ask(gateway, MESSAGES, streamed).status == 200
        assert unpriced(gateway) == 0
        upstream.always(told({"type": "advisor_message", "model": "m-dear", **tokens}))
        assert ask(gateway, MESSAGES, streamed).status == 200
        assert unpriced(gateway) == 1
        # Who was asked declined in the middle, and another answered.
        declined = {"type": "message", "model": "m", "input_tokens": 9, "output_tokens": 5}
        upstream.always(told(declined, {"type": "fallback_message", "model": "m-dear", **tokens}))
        assert ask(gateway, MESSAGES, streamed).status == 200
        assert unpriced(gateway) == 2
        *rows, last = recorded(gateway, 3)
    used = last["usage"]
    assert (used["prompt_tokens"], used["completion_tokens"], last["cost_nanousd"]) == (1_009, 35, None)
    assert last["charged_nanousd"] == 1_009 * 2_000 + 35 * 10_000
    assert [(row["usage"]["prompt_tokens"], row["usage"]["completion_tokens"]) for row in rows] == 2 * [(1_009, 32)]
    nanousd = 1_009 * 2_000 + 32 * 10_000
    assert [(row["cost_nanousd"], row["charged_nanousd"]) for row in rows] == [(nanousd, nanousd), (None, nanousd)]


def test_speech_holds_its_slot_until_all_of_it_is_there(upstream: Upstream, tmp_path: Path) -> None:
    prices = {"m": {"input": 0, "output": 0, "input_character": 15}}
    limits = {"global": {"budget": "1 usd/day", "concurrent": 1}}
    gate = threading.Event()
    sound = Send(head(200, {"content-type": "audio/mpeg", "content-length": "200000"}) + b"\0" * 100_000)
    said = json.dumps({"model": "m", "input": "Hello", "voice": "alloy"}).encode()
    headers = {"content-type": "application/json"}
    with Gateway(tmp_path, config_of(upstream, prices=prices, limits=limits)) as gateway:
        upstream.always([sound, WaitFor(gate), Send(b"\0" * 100_000)])
        with Client(gateway.address) as client:
            client.send(request("POST", SPEECH, said, headers))
            answer = client.read_head()
            assert answer.header("x-penstock-cost-usd") == "0.000075"
            assert post(gateway.address, SPEECH, said, headers).status == 429
            gate.set()
            assert sum(map(len, client.pieces(answer))) == 200_000
        assert post(gateway.address, SPEECH, said, headers).status == 200
        rows = recorded(gateway, 3)
    assert [row["cost_nanousd"] for row in rows] == [75_000, None, 75_000]
    assert [row["usage_source"] for row in rows if row["status"] == 200] == ["counted", "counted"]


@pytest.mark.parametrize("streamed", [False, True])
def test_who_declines_before_writing_anything_is_not_paid(upstream: Upstream, tmp_path: Path, streamed: bool) -> None:
    usage = {"input_tokens": 412, "output_tokens": 0}
    whole = {**MESSAGES.whole, "content": [], "stop_reason": "refusal", "usage": usage}
    if streamed:
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": {**whole, "stop_reason": None}},
            {"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": usage},
            {"type": "message_stop"},
        ]
        upstream.always(stream([f"event: {each['type']}\n".encode() + data(each) for each in events]))
    else:
        upstream.always(answer(whole))
    prices = {"m": {"input": 1, "output": 10}}
    config = config_of(upstream, prices=prices, limits={"global": {"budget": "1 usd/day"}})
    with Gateway(tmp_path, config) as gateway:
        got = ask(gateway, MESSAGES, streamed)
        assert got.status == 200
        assert got.header("x-penstock-cost-usd") == (None if streamed else "0")
        (row,) = recorded(gateway, 1)
    assert (row["usage"]["prompt_tokens"], row["cost_nanousd"], row["charged_nanousd"]) == (412, 0, 0)


@pytest.mark.parametrize(
    ("asked", "stated", "factor"), [("flex", "flex", 0.5), ("priority", "default", 1), (None, "priority", 2)]
)
def test_a_stream_that_breaks_off_is_paid_for_in_the_tier_that_it_has_stated(
    upstream: Upstream, tmp_path: Path, asked: str | None, stated: str, factor: float
) -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}], "service_tier": stated}
    upstream.always([*stream([data(chunk)])[:-1], Pause(0.02), Cut()])
    more = {} if asked is None else {"service_tier": asked}
    prices = {"m": {"input": 1, "output": 10, "flex": 0.5, "priority": 2}}
    with Gateway(tmp_path, config_of(upstream, prices=prices)) as gateway:
        assert ask(gateway, CHAT, True, "m", **more).status == 200
        (row,) = recorded(gateway, 1)
    used = row["usage"]
    assert used["completion_tokens"] > 0
    assert row["cost_nanousd"] == factor * (used["prompt_tokens"] * 1_000 + used["completion_tokens"] * 10_000)


def test_a_tier_is_known_however_it_is_written(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    body = json.dumps(CHAT.request("m", False, service_tier="priority")).replace("priority", "prior\\u0069ty")
    with Gateway(tmp_path, config_of(upstream, prices=PRICES)) as gateway:
        assert post(gateway.address, CHAT.path, body.encode()).status == 200
        (row,) = recorded(gateway, 1)
    assert row["cost_nanousd"] == 2 * (9 * 1_000 + 2 * 10_000)


def test_an_answer_that_is_cut_before_its_head_is_told_is_paid_for_as_far_as_it_came(
    upstream: Upstream, tmp_path: Path
) -> None:
    body = json.dumps({name: value for name, value in CHAT.whole.items() if name != "usage"}, ensure_ascii=False)
    part = body.encode()[: body.encode().index(b"!")]
    begun = Send(head(200, {"content-type": "application/json", "content-length": str(len(body.encode()))}))
    upstream.always([begun, Send(part), Pause(0.02), Cut()])
    config = config_of(upstream, limits={"global": {"tokens": "1000000/h"}})
    with Gateway(tmp_path, config) as gateway:
        assert_refused(ask(gateway, CHAT, False, "up/gpt-4o"), CHAT, 502, "upstream_cut")
        (row,) = recorded(gateway, 1)
    used = {"prompt": count_messages(CHAT.body["messages"], "gpt-4o"), "answer": count("".join(TEXTS)[:-1], "gpt-4o")}
    assert (row["usage"]["prompt_tokens"], row["usage"]["completion_tokens"]) == tuple(used.values())
    assert (row["usage_source"], row["charged_tokens"]) == ("counted", sum(used.values()))


def test_what_the_beginning_of_a_message_says_of_its_answer_is_no_count_of_it(
    upstream: Upstream, tmp_path: Path
) -> None:
    upstream.always([*stream([*MESSAGES.frames[:1]])[:-1], Pause(0.02), Cut()])
    with Gateway(tmp_path, config_of(upstream, prices=PRICES)) as gateway:
        with contextlib.suppress(Closed):
            ask(gateway, MESSAGES)
        (row,) = recorded(gateway, 1)
    assert row["usage"]["prompt_tokens"] > 0
    assert row["usage_source"] == "estimated"


def test_an_answer_that_does_not_state_its_prompt_is_counted_by_the_request(upstream: Upstream, tmp_path: Path) -> None:
    whole = {name: value for name, value in OLLAMA_CHAT.whole.items() if name != "prompt_eval_count"}
    upstream.always(answer(whole))
    with Gateway(tmp_path, config_of(upstream, prices=PRICES)) as gateway:
        assert ask(gateway, OLLAMA_CHAT, False, "m").status == 200
        (row,) = recorded(gateway, 1)
    assert row["usage"]["prompt_tokens"] > 0
    assert (row["usage"]["completion_tokens"], row["usage_source"]) == (whole["eval_count"], "estimated")


def test_a_prompt_with_a_file_is_estimated_where_the_answer_is_cut(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always([*stream(CHAT.frames[:2])[:-1], Pause(0.02), Cut()])
    file = {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0="}}
    text = {"type": "text", "text": "Sum up"}
    with Gateway(tmp_path, config_of(upstream)) as gateway:
        for content in ([text], [text, file]):
            with contextlib.suppress(Closed):
                ask(gateway, CHAT, True, "up/gpt-4o", messages=[{"role": "user", "content": content}])
        sources = [row["usage_source"] for row in recorded(gateway, 2)]
    assert sources == ["counted", "estimated"]
