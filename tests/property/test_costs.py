"""What an answer costs, against decimal arithmetic: configured in YAML, compiled here, read and reckoned by native."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from decimal import ROUND_CEILING, Decimal, localcontext
from typing import Any, TypeAlias

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.config.model import Config
from penstock.config.read import Reader
from penstock.config.tree import parse
from penstock.policy.prices import compile_prices
from tests.support.example import example

ROUNDS = 20 * int(os.environ.get("ROUNDS", "20"))
pytestmark = pytest.mark.timeout(600)
MILLION, NANO = Decimal(10**6), Decimal(10**9)

Price: TypeAlias = dict[str, Any]
"""As it is written: rates and factors in decimals; `above` by tokens."""
Ask: TypeAlias = Callable[[dict[str, Any]], Any]

IN = ("input", "cached_input", "cache_write", "cache_write_1h", "audio_input", "image_input")
OUT = ("output", "audio_output", "image_output", "reasoning")
UNITS = ("audio_second", "input_character")
OTHERWISE = {"cache_write_1h": "cache_write", **{name: "output" for name in OUT[1:]}}


@pytest.fixture(scope="module")
def oracle() -> Iterator[Ask]:
    """Asks native."""
    with subprocess.Popen(
        [example("cost_oracle")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def ask(line: dict[str, Any]) -> Any:
            stdin.write(json.dumps(line) + "\n")
            stdin.flush()
            return json.loads(stdout.readline())

        yield ask
        stdin.close()


def decimals(most: int, digits: int = 9) -> st.SearchStrategy[Decimal]:
    return st.integers(0, most * 10**digits).map(lambda n: Decimal(n).scaleb(-digits))


def some(names: tuple[str, ...]) -> st.SearchStrategy[dict[str, Decimal]]:
    return st.fixed_dictionaries({}, optional={name: decimals(1_000) for name in names})


def prices() -> st.SearchStrategy[Price]:
    needed = dict.fromkeys(("input", "output"), st.one_of(st.just(Decimal(0)), decimals(1_000)))
    more = {name: decimals(1_000) for name in (*IN[1:], *OUT[1:], *UNITS)}
    tiers = {name: decimals(100) for name in ("batch", "flex", "priority", "ultrafast", "fast")}
    above = st.dictionaries(st.integers(1, 10_000), some((*IN, *OUT)), max_size=3)
    return st.fixed_dictionaries(needed, optional={**more, **tiers, "above": above})


COUNT = st.one_of(st.integers(0, 20), st.integers(0, 20_000), st.integers(0, 2**40))
PROMPT = ("prompt", "cached", "written", "written_1h", "audio_in", "image_in")
ANSWER = ("completion", "audio_out", "image_out", "reasoning")
COUNTS = dict.fromkeys((*PROMPT, *ANSWER), COUNT)
TIERS = st.sampled_from(("", "default", "flex", "priority", "batch", "ultrafast", "fast", "standard"))


def reckoned(price: Price, counts: dict[str, int], seconds: int, tier: str) -> int | None:
    """The rules of docs/prices.md, one after the other; None: nobody knows."""
    if tier == "anthropic's fast" and "fast" not in price:
        return None
    stated = {name: rate for name, rate in price.items() if isinstance(rate, Decimal)}
    for tokens in sorted(price.get("above", {})):
        if counts["prompt"] > tokens:
            base = {name: rate for name, rate in price.items() if isinstance(rate, Decimal)}
            stated = base | price["above"][tokens]

    def rate(name: str) -> Decimal:
        if name in stated:
            return stated[name]
        return Decimal(0) if name in UNITS else rate(OTHERWISE.get(name, "input"))

    paid = [name for name in UNITS if rate(name)]
    if rate("input") == rate("output") == 0 and paid and not (seconds and "audio_second" in paid):
        return None
    with localcontext() as context:
        context.prec = 80
        left, whole = counts["prompt"], Decimal(0)
        cached = min(left, counts["cached"])
        written = min(left - cached, counts["written"])
        hour = min(written, counts["written_1h"])
        audio = min(left - cached - written, counts["audio_in"])
        image = min(left - cached - written - audio, counts["image_in"])
        parts = {
            "cached_input": cached,
            "cache_write": written - hour,
            "cache_write_1h": hour,
            "audio_input": audio,
            "image_input": image,
            "input": left - cached - written - audio - image,
        }
        left = counts["completion"]
        audio = min(left, counts["audio_out"])
        image = min(left - audio, counts["image_out"])
        reasoning = min(left - audio - image, counts["reasoning"])
        parts |= {
            "audio_output": audio,
            "image_output": image,
            "reasoning": reasoning,
            "output": left - audio - image - reasoning,
            "audio_second": seconds,
        }
        whole = sum((Decimal(tokens) / MILLION * rate(name) for name, tokens in parts.items()), Decimal(0))
        name = {"fast": "priority", "anthropic's fast": "fast", "default": "", "standard": ""}.get(tier, tier)
        factor = price.get(name, Decimal("0.5") if name == "batch" else Decimal(1)) if name else Decimal(1)
        return min(2**64 - 1, int((whole * factor * NANO).to_integral_value(ROUND_CEILING)))


def compiled(price: Price) -> Any:
    """The price as it crosses, from the text of a configuration."""

    def text(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{name}: {text(inner)}" for name, inner in value.items()) + "}"
        return f"{value:f}"

    reader = Reader({})
    config = reader.struct(parse(f"prices: {{m: {text(price)}}}\n", "penstock.yaml"), Config)
    assert reader.problems == []
    return msgspec.to_builtins(compile_prices(config.prices, {})[0])


def openai(counts: dict[str, int], seconds: int, tier: str) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "prompt_tokens": counts["prompt"],
        "completion_tokens": counts["completion"],
        "prompt_tokens_details": {
            "cached_tokens": counts["cached"],
            "cache_write_tokens": counts["written"],
            "audio_tokens": counts["audio_in"],
            "image_tokens": counts["image_in"],
        },
        "completion_tokens_details": {
            "audio_tokens": counts["audio_out"],
            "image_tokens": counts["image_out"],
            "reasoning_tokens": counts["reasoning"],
        },
        "seconds": seconds,
    }
    return {
        "choices": [{"message": {"content": '"usage"'}}],
        "usage": usage,
        **({"service_tier": tier} if tier else {}),
    }


@settings(max_examples=ROUNDS, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(prices(), st.fixed_dictionaries(COUNTS), st.integers(0, 10**6), st.integers(0, 2**40), TIERS, TIERS)
def test_an_answer_costs_what_decimal_arithmetic_says(
    oracle: Ask, price: Price, counts: dict[str, int], seconds: int, thought: int, asked: str, stated: str
) -> None:
    counts = counts | {"written_1h": 0}
    answer = openai(counts, seconds, stated)
    answer["usage"]["total_tokens"] = counts["prompt"] + counts["completion"] + thought
    line = {"price": compiled(price), "dialect": "openai", "asked": asked, "body": json.dumps(answer)}
    counts["completion"] += thought
    counts["reasoning"] = max(counts["reasoning"], thought)
    assert oracle(line) == reckoned(price, counts, seconds, stated or asked)


@settings(max_examples=ROUNDS, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(prices(), st.fixed_dictionaries(COUNTS), TIERS, st.booleans())
def test_so_does_one_of_anthropics(oracle: Ask, price: Price, counts: dict[str, int], tier: str, is_fast: bool) -> None:
    none = dict.fromkeys(("audio_in", "image_in", "audio_out", "image_out"), 0)
    counts = counts | none
    usage = {
        "input_tokens": counts["prompt"],
        "cache_read_input_tokens": counts["cached"],
        "cache_creation_input_tokens": counts["written"],
        "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": counts["written_1h"]},
        "output_tokens": counts["completion"],
        "output_tokens_details": {"thinking_tokens": counts["reasoning"]},
        "service_tier": tier or "standard",
        "speed": "fast" if is_fast else "standard",
    }
    line = {"price": compiled(price), "dialect": "anthropic", "asked": "flex", "body": json.dumps({"usage": usage})}
    whole = counts | {"prompt": counts["prompt"] + counts["cached"] + counts["written"]}
    assert oracle(line) == reckoned(price, whole, 0, "anthropic's fast" if is_fast else tier or "standard")


def test_an_answer_without_usage_has_no_cost(oracle: Ask) -> None:
    price = compiled({"input": Decimal(1), "output": Decimal(1)})
    assert oracle({"price": price, "dialect": "openai", "asked": "", "body": '{"choices":[]}'}) is None
