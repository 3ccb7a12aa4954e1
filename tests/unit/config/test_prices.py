"""Models that a budget would refuse are told when a configuration is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.config.load import load

KEYS = {"OPENAI_API_KEY": "sk-of-openai", "ANTHROPIC_API_KEY": "sk-of-anthropic"}
BUDGET = "limits: {default: {budget: 20 usd/day}}\n"
MODELS = """providers: {openai: {}, mine: {dialect: openai, base_url: http://10.0.0.5/v1}, local: {kind: ollama}}
models:
  fast: {targets: [{provider: openai, model: own-mini}], fallback: [{provider: local, model: qwen3}]}
  listed: {targets: [{provider: openai, model: gpt-5-mini}, {provider: openai, model: gpt-5-mini-2025-08-07}]}
  own-*: {targets: [{provider: mine}]}
"""


def warned(tmp_path: Path, text: str) -> list[str]:
    """The models without a price that the one warning names, if there is one."""
    file = tmp_path / "penstock.yaml"
    file.write_text(text)
    found = load(str(file), KEYS).warnings
    if not found:
        return []
    (warning,) = found
    assert "write them under prices" in warning
    return warning.partition("no price of ")[2].partition(": under it")[0].split(", ")


@pytest.mark.parametrize(
    ("limits", "names"),
    [
        ("", []),
        (BUDGET, ["openai/own-mini", "mine/own-*"]),
        ("limits: {global: {budget: 1 usd/day}}\n", ["openai/own-mini", "mine/own-*"]),
        ("limits: {default: {requests: 5/s}}\n", []),
        ("limits: {unpriced: allow, default: {budget: 20 usd/day}}\n", []),
        ("limits: {models: {fast: {budget: 20 usd/day}}}\n", ["openai/own-mini"]),
        ("limits: {models: {openai/own: {budget: 20 usd/day}}}\n", ["openai/own"]),
        ("limits: {models: {openai/o3: {budget: 20 usd/day}}}\n", []),
        ("limits: {models: {openai/o3-2025-04-16: {budget: 20 usd/day}}}\n", []),
        ("limits: {providers: {mine: {budget: 20 usd/day}}}\n", ["mine/own-*"]),
        ("limits: {providers: {local: {budget: 20 usd/day}}}\n", []),
        (BUDGET + "prices: {own-m*: {input: 1, output: 2}}\n", []),
        (BUDGET + "prices: {own-mini: {input: 1, output: 2}, own-opus: {input: 1, output: 2}}\n", []),
    ],
)
def test_targets_without_a_price_are_named_where_a_budget_holds(tmp_path: Path, limits: str, names: list[str]) -> None:
    assert warned(tmp_path, MODELS + limits) == names


def test_without_models_some_price_is_asked_for(tmp_path: Path) -> None:
    text = "providers: {openai: {}, local: {kind: ollama}}\n" + BUDGET
    assert warned(tmp_path, text) == [], "the list has prices of OpenAI's"
    text = "providers: {azure: {base_url: http://a/v1, api_key: x}, local: {kind: ollama}}\n" + BUDGET
    assert warned(tmp_path, text) == ["azure/*"]
    assert warned(tmp_path, text + "prices: {gpt-5: {input: 1, output: 2}}\n") == []
