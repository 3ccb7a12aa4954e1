"""The price list that ships with the package."""

from __future__ import annotations

import re

import pytest

from penstock.config.model import Price, Rates
from penstock.providers.catalogue import load_catalogue
from penstock.providers.prices import FILE, PriceList, load_prices

USD = 10**9


@pytest.fixture(scope="module")
def everything() -> PriceList:
    return load_prices(load_catalogue())


def test_every_part_is_of_a_kind_in_the_catalogue_and_every_entry_can_be_used(everything: PriceList) -> None:
    kinds = re.findall(r"^(\S+):$", FILE.read_text(), re.MULTILINE)
    assert kinds == list(everything)
    assert sum(map(len, everything.values())) > 700
    for models in everything.values():
        for name, price in models.items():
            assert price.input is not None
            assert price.output is not None
            assert name.count("*") <= 1
            assert name.isprintable()
            rates = [getattr(price, each) for each in Rates.__struct_fields__]
            assert all(rate is None or rate <= 10_000 * USD for rate in rates), name
            assert all(int(tokens) >= 1_000 for tokens in price.above), name


def test_the_file_says_of_what_date_it_is_and_from_where() -> None:
    head = FILE.read_text().partition("\n\n")[0]
    assert re.search(r"^# date: 20\d\d-\d\d-\d\d$", head, re.MULTILINE)
    assert re.search(r"^# source: .*litellm-1.* MIT$", head, re.MULTILINE)
    assert re.search(r"^# sha256: [0-9a-f]{64}$", head, re.MULTILINE)


@pytest.mark.parametrize(
    ("kind", "name", "price"),
    [
        (
            "openai",
            "gpt-5-mini",
            Price(input=USD // 4, cached_input=USD // 40, output=2 * USD, flex=USD // 2, priority=1_800_000_000),
        ),
        (
            "anthropic",
            "claude-haiku-5-5",
            Price(
                input=USD // 10,
                cached_input=USD // 100,
                cache_write=USD // 8,
                cache_write_1h=USD // 5,
                output=USD // 2,
                above={
                    "100000": Rates(
                        input=USD // 2,
                        cached_input=USD // 20,
                        cache_write=USD * 5 // 8,
                        cache_write_1h=USD,
                        output=USD * 5 // 2,
                    )
                },
            ),
        ),
        (
            "openai",
            "gpt-audio-mini",
            Price(input=USD * 6 // 10, audio_input=10 * USD, output=USD * 12 // 5, audio_output=20 * USD),
        ),
        ("openai", "whisper-1", Price(input=0, output=0, audio_second=100 * USD)),
        ("openai", "tts-1", Price(input=0, output=0, input_character=15 * USD)),
        (
            "anthropic",
            "claude-opus-5-5",
            Price(
                input=4 * USD,
                cached_input=USD // 5,
                cache_write=5 * USD,
                cache_write_1h=8 * USD,
                output=20 * USD,
                fast=2 * USD,
            ),
        ),
        ("openai", "text-embedding-3-small", Price(input=USD // 50, output=0)),
        ("cohere", "embed-multilingual-light-v3.0", Price(input=USD // 10, output=0)),
        ("openai", "gpt-4o-mini-tts", Price(input=USD * 6 // 10, output=12 * USD)),
        (
            "openai",
            "ft:gpt-4o-2024-11-20:*",
            Price(input=USD * 375 // 100, cached_input=USD * 1875 // 1000, output=15 * USD),
        ),
    ],
)
def test_prices_are_what_the_vendors_state(everything: PriceList, kind: str, name: str, price: Price) -> None:
    assert everything[kind][name] == price


def test_only_what_is_asked_for_is_read() -> None:
    assert set(load_prices({"groq", "nobody"})) == {"groq"}
