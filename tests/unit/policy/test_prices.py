"""Prices as native takes them: every rate stated, the configured ones first, of the list what is needed."""

from __future__ import annotations

from collections.abc import Callable

from penstock.config.load import load
from penstock.config.model import Price, Rates
from penstock.policy.compile import Facts, compile_snapshot
from penstock.policy.prices import compile_prices
from penstock.policy.snapshot import Factors, Snapshot, Step
from penstock.policy.snapshot import Rates as Compiled

WHOLE = 10**9
PLAIN = Factors(WHOLE // 2, WHOLE, WHOLE, WHOLE, None)


def compiled(write: Callable[[str], str], text: str) -> Snapshot:
    environ = {"OPENAI_API_KEY": "a", "ANTHROPIC_API_KEY": "b", "GEMINI_API_KEY": "c"}
    loaded = load(write(text), environ)
    return compile_snapshot(loaded.config, loaded.catalogue, Facts(environ, 8 << 30, "json"), 7)


def test_what_is_not_stated_is_as_the_next_more_general_rate() -> None:
    (made,) = compile_prices({"m": Price(input=1, output=2)}, {})
    assert (made.kind, made.pattern, made.factors, made.above) == (None, "m", PLAIN, ())
    assert made.rates == Compiled(1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 0, 0)
    (made,) = compile_prices({"m": Price(input=1, output=2, cache_write=5, cached_input=0, reasoning=9)}, {})
    assert made.rates == Compiled(1, 0, 5, 5, 1, 1, 2, 2, 2, 9, 0, 0), "an explicit 0 is a price"


def test_a_long_prompts_rates_are_those_of_a_short_one_where_it_states_none() -> None:
    price = Price(
        input=1, cached_input=7, output=2, above={"200": Rates(input=3, image_output=8)}, flex=0, batch=3, fast=6
    )
    (made,) = compile_prices({"m": price}, {})
    assert made.above == (Step(200, Compiled(3, 7, 3, 3, 3, 3, 2, 2, 8, 2, 0, 0)),)
    assert made.factors == Factors(3, 0, WHOLE, WHOLE, 6)


def test_the_list_of_each_kind_that_is_configured_and_takes_money_crosses(write: Callable[[str], str]) -> None:
    text = "providers: {openai: {}, claude: {kind: anthropic, free: true}, local: {kind: ollama}}\n"
    text += "prices: {a: {input: 1, output: 1}}\n"
    prices = compiled(write, text).prices
    assert (prices[0].kind, prices[0].pattern) == (None, "a")
    assert {price.kind for price in prices[1:]} == {"openai"}
    other = compiled(write, "providers: {vllm: {dialect: openai, base_url: http://10.0.0.5/v1, free: false}}").prices
    assert other == ()
