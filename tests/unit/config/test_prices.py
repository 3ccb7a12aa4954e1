"""Models that a budget would refuse are told when a configuration is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.config.load import load

KEYS = {"OPENAI_API_KEY": "sk-of-openai", "ANTHROPIC_API_KEY": "sk-of-anthropic"}
BUDGET = "limits: {default: {budget: 20 usd/day}}\n"
MODELS = """providers: {openai: {}, claude: {kind: anthropic}, local: {kind: ollama}}
models:
  fast: {targets: [{provider: openai, model: gpt-5-mini}], fallback: [{provider: local, model: qwen3}]}
  claude-*: {targets: [{provider: claude}]}
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
        (BUDGET, ["openai/gpt-5-mini", "claude/claude-*"]),
        ("limits: {global: {budget: 1 usd/day}}\n", ["openai/gpt-5-mini", "claude/claude-*"]),
        ("limits: {default: {requests: 5/s}}\n", []),
        ("limits: {unpriced: allow, default: {budget: 20 usd/day}}\n", []),
        ("limits: {models: {fast: {budget: 20 usd/day}}}\n", ["openai/gpt-5-mini"]),
        ("limits: {models: {openai/o3: {budget: 20 usd/day}}}\n", ["openai/o3"]),
        ("limits: {providers: {claude: {budget: 20 usd/day}}}\n", ["claude/claude-*"]),
        ("limits: {providers: {local: {budget: 20 usd/day}}}\n", []),
        (BUDGET + "prices: {gpt-5*: {input: 1, output: 2}}\n", ["claude/claude-*"]),
        (BUDGET + "prices: {gpt-5*: {input: 1, output: 2}, claude-opus: {input: 1, output: 2}}\n", []),
    ],
)
def test_targets_without_a_price_are_named_where_a_budget_holds(tmp_path: Path, limits: str, names: list[str]) -> None:
    assert warned(tmp_path, MODELS + limits) == names


def test_without_models_some_price_is_asked_for(tmp_path: Path) -> None:
    text = "providers: {openai: {}, local: {kind: ollama}}\n" + BUDGET
    assert warned(tmp_path, text) == ["openai/*"]
    assert warned(tmp_path, text + "prices: {gpt-5: {input: 1, output: 2}}\n") == []
