"""The demo provider's text: the same seed says the same things, tokens join to the text, limits cut."""

import asyncio
import time

from hypothesis import given
from hypothesis import strategies as st

from penstock.demo.schema import example
from penstock.demo.voice import Pace, Voice, tokens_of


@given(st.text())
def test_tokens_join_to_their_text(text: str) -> None:
    assert "".join(tokens_of(text)) == text


def test_the_same_seed_says_the_same() -> None:
    assert Voice(7).reply().text == Voice(7).reply().text
    assert len({Voice(seed).reply().text for seed in range(20)}) > 1


def test_a_limit_cuts_a_reply_and_says_so() -> None:
    reply = Voice(1).reply(3)
    assert (len(reply.tokens), reply.cut) == (3, True)
    assert not Voice(1).reply(10_000).cut


def test_speech_is_paced() -> None:
    async def speak() -> float:
        voice = Voice(1, Pace(first_token=0.05, tokens_per_second=100.0, jitter=0.2))
        started = time.monotonic()
        assert [token async for token in voice.speak(["a", "b", "c"])] == ["a", "b", "c"]
        return time.monotonic() - started

    assert asyncio.run(speak()) > 0.05


def test_examples_follow_their_schema() -> None:
    place = {"type": "object", "properties": {"city": {"type": "string"}, "people": {"type": "integer", "minimum": 7}}}
    schema = {
        "$defs": {"Place": place},
        "type": "object",
        "properties": {
            "place": {"$ref": "#/$defs/Place"},
            "kind": {"enum": ["x", "y"]},
            "tags": {"type": "array", "items": {"type": "boolean"}, "minItems": 2},
            "maybe": {"anyOf": [{"type": "null"}, {"type": "string"}]},
            "when": {"type": ["string", "null"], "format": "date"},
        },
    }
    assert example(schema) == {
        "place": {"city": "Oslo", "people": 7},
        "kind": "x",
        "tags": [True, True],
        "maybe": None,
        "when": "2026-01-02",
    }


def test_a_schema_that_holds_itself_has_an_end() -> None:
    schema = {"$defs": {"N": {"type": "object", "properties": {"next": {"$ref": "#/$defs/N"}}}}, "$ref": "#/$defs/N"}
    assert isinstance(example(schema), dict)
