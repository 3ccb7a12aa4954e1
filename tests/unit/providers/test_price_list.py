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


def test_sound_has_a_price_by_the_second_and_speech_by_the_character() -> None:
    sound = {"mode": "audio_transcription", "input_cost_per_second": Decimal("0.0001")}
    assert price(sound) == "{ input: 0, output: 0, audio_second: 100 }"
    speech = {"mode": "audio_speech", "input_cost_per_character": Decimal("1.5e-5")}
    assert price(speech) == "{ input: 0, output: 0, input_character: 15 }"
    assert price(speech | {"mode": "audio_transcription"}) is None
    assert price({"mode": "chat"}) is None
