"""Whether a name in a key's list can allow anything."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.config.load import load
from penstock.policy.names import Names, meet

WITH_MODELS = (
    "providers: {openai: {}, vllm: {dialect: openai, base_url: http://h/v1}}\n"
    "models: {fast: {targets: [{provider: openai}]}, 'gpt-*': {targets: [{provider: openai}]}}\n"
)
KEYS = {"OPENAI_API_KEY": "x", "ANTHROPIC_API_KEY": "y"}


@pytest.fixture
def names(write: Callable[[str], str]) -> Callable[[str], Names]:
    def make(text: str) -> Names:
        loaded = load(write(text), KEYS)
        return Names(loaded.config, loaded.catalogue, KEYS)

    return make


@pytest.mark.parametrize(
    "pattern", ["fast", "fa*", "gpt-5", "gpt-*", "*", "g*5*", "openai/gpt-5", "vllm/*", "*/qwen3", "o*", "*t"]
)
def test_what_the_configuration_routes_is_fine(pattern: str, names: Callable[[str], Names]) -> None:
    assert names(WITH_MODELS).problem(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("fsat", "'fsat' leads to no model (did you mean 'fast'?)"),
        ("opnai/gpt-5", "'opnai/gpt-5' leads to no model (did you mean 'openai/gpt-5'?)"),
        ("mistral/x", "'mistral/x' leads to no model (known here: openai, vllm)"),
        ("claude-*", "'claude-*' leads to no model (known here: fast, gpt-*, openai/*, vllm/*)"),
        ("openai/", "'openai/' leads to no model (did you mean 'openai/*'?)"),
        ("Fast", "'Fast' leads to no model (did you mean 'fast'?)"),
    ],
)
def test_what_leads_nowhere_is_told_with_what_may_be_meant(
    pattern: str, reason: str, names: Callable[[str], Names]
) -> None:
    assert names(WITH_MODELS).problem(pattern) == reason


def test_what_may_be_meant_is_sought_only_for_whoever_wants_it(names: Callable[[str], Names]) -> None:
    found = names(WITH_MODELS)
    assert found.problem("fsat", hint=False) == "'fsat' leads to no model"
    assert found.problem("fsat") == "'fsat' leads to no model (did you mean 'fast'?)"
    assert found.problem("fast", hint=False) is None


def test_without_models_the_catalogues_patterns_count(names: Callable[[str], Names]) -> None:
    found = names("providers: {openai: {}, claude: {kind: anthropic}}")
    assert found.problem("gpt-5") is None
    assert found.problem("claude-haiku-*") is None
    assert found.problem("mistral-large") is not None
    assert names("providers: {local: {kind: ollama}}").problem("anything:7b") is None


def test_a_reload_exchanges_what_is_known(names: Callable[[str], Names], write: Callable[[str], str]) -> None:
    found = names(WITH_MODELS)
    assert found.problem("slow") is not None
    loaded = load(write(WITH_MODELS.replace("fast", "slow")), KEYS)
    found.use(loaded.config, loaded.catalogue, KEYS)
    assert found.problem("slow") is None
    assert found.problem("fast") is not None


PATTERNS = st.text("ab*", max_size=6)
TEXTS = ["".join(letters) for size in range(9) for letters in product("ab", repeat=size)]


@given(PATTERNS, PATTERNS)
def test_two_patterns_meet_exactly_if_some_text_fits_both(a: str, b: str) -> None:
    def fits(pattern: str) -> set[str]:
        regex = re.compile(pattern.replace("*", ".*"))
        return {text for text in TEXTS if regex.fullmatch(text)}

    # A text that fits both need not be longer than the letters of both.
    if len(a.replace("*", "")) + len(b.replace("*", "")) <= 8:
        assert meet(a, b) is bool(fits(a) & fits(b))


def test_a_pattern_of_many_stars_takes_no_time(names: Callable[[str], Names]) -> None:
    found = names("providers: {openai: {}}\nmodels: {'" + "a" * 250 + "': {targets: [{provider: openai}]}}")
    begun = time.process_time()
    assert found.problem("a*" * 120 + "b") is not None
    assert time.process_time() - begun < 1
