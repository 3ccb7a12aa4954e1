"""The script that makes the price list: what becomes of an entry of the list that it reads."""

from __future__ import annotations

import runpy
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

SCRIPT = runpy.run_path(str(Path(__file__).parents[3] / "scripts" / "price_list.py"))

CHAT = {"mode": "chat", "input_cost_per_token": Decimal("3e-6"), "output_cost_per_token": Decimal("9e-6")}


def price(entry: dict[str, Any]) -> Any:
    """The price of an entry, as it is written."""
    made = SCRIPT["price"](entry, "openai")
    return made if made is None else SCRIPT["written"](made)


@pytest.mark.parametrize(
    ("more", "tiers"),
    [
        ({}, ""),
        ({"input_cost_per_token_flex": "1.5e-6", "output_cost_per_token_flex": "4.5e-6"}, ", flex: 0.5"),
        ({"input_cost_per_token_priority": "6e-6", "output_cost_per_token_priority": "27e-6"}, ", priority: 3"),
        (
            {"input_cost_per_token_priority": "1e-6", "output_cost_per_token_priority": "4e-6"},
            ", priority: 0.444444445",
        ),
        ({"input_cost_per_token_batches": "1.5e-6", "output_cost_per_token_batches": "4.5e-6"}, ""),
        ({"input_cost_per_token_batches": "1e-6", "output_cost_per_token_batches": "6e-6"}, ", batch: 0.666666667"),
        ({"provider_specific_entry": {"us": Decimal("1.1"), "fast": Decimal(6)}}, ", fast: 6"),
    ],
)
def test_of_what_a_tier_makes_of_the_rates_the_largest_counts(more: dict[str, Any], tiers: str) -> None:
    exact = {name: value if isinstance(value, dict) else Decimal(value) for name, value in more.items()}
    assert price(CHAT | exact) == f"{{ input: 3, output: 9{tiers} }}"


def test_a_write_for_twelve_hours_is_one_for_long() -> None:
    entry = CHAT | {"cache_creation_input_token_cost": Decimal("4e-6")}
    entry |= {"cache_creation_input_token_cost_above_12hr": Decimal("6e-6")}
    entry |= {"cache_creation_input_token_cost_above_12hr_above_272k_tokens": Decimal("12e-6")}
    above = "above: { 272000: { cache_write_1h: 12 } }"
    assert price(entry) == f"{{ input: 3, cache_write: 4, cache_write_1h: 6, output: 9, {above} }}"


def test_a_write_that_costs_less_than_none_is_what_reading_costs() -> None:
    entry = CHAT | {"cache_creation_input_token_cost": Decimal("1.5e-6")}
    assert price(entry) == "{ input: 3, cached_input: 1.5, output: 9 }"
    free = CHAT | {"cache_creation_input_token_cost": Decimal(0)}
    assert price(free) == "{ input: 3, cache_write: 0, output: 9 }"


def test_pictures_and_speech_of_openai_are_charged_as_such_though_an_answer_may_not_say_so() -> None:
    picture = CHAT | {"mode": "image_generation", "output_cost_per_image_token": Decimal("3e-5")}
    assert price(picture) == "{ input: 3, output: 30 }"
    speech = CHAT | {"mode": "audio_speech", "output_cost_per_audio_token": Decimal("1.2e-5")}
    assert price(speech) == "{ input: 3, output: 12 }"
    cheaper = CHAT | {"mode": "audio_speech", "output_cost_per_audio_token": Decimal("8e-6")}
    assert price(cheaper) == "{ input: 3, output: 9, audio_output: 8 }"
    others = SCRIPT["written"](SCRIPT["price"](picture, "gemini"))
    assert others == "{ input: 3, output: 9, image_output: 30 }"


def test_what_the_list_has_wrong_is_put_right() -> None:
    entry = {"litellm_provider": "cohere", "mode": "embedding", "input_cost_per_token": Decimal("1e-4")}
    found = SCRIPT["listed"]({"embed-multilingual-light-v3.0": entry})["cohere"]
    assert SCRIPT["written"](found["embed-multilingual-light-v3.0"]) == "{ input: 0.1, output: 0 }"


def test_sound_has_a_price_by_the_second_and_speech_by_the_character() -> None:
    sound = {"mode": "audio_transcription", "input_cost_per_second": Decimal("0.0001")}
    assert price(sound) == "{ input: 0, output: 0, audio_second: 100 }"
    speech = {"mode": "audio_speech", "input_cost_per_character": Decimal("1.5e-5")}
    assert price(speech) == "{ input: 0, output: 0, input_character: 15 }"
    assert price(speech | {"mode": "audio_transcription"}) is None
    assert price({"mode": "chat"}) is None
