"""Limits of LiteLLM's keys, teams and deployments: what each becomes, and what is listed instead."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.importers.litellm import limits
from penstock.limits.policy import Limits, policy_of
from tests.unit.importers.litellm.conftest import Import


def of(**cells: object) -> tuple[dict[str, Any], list[str]]:
    found, wrong = limits.of_row(cells)
    policy_of(Limits(**found))  # type: ignore[arg-type]
    assert set(wrong) <= set(limits.LEFT_OUT)
    return dict(found), wrong


def test_limits_of_a_row_are_per_minute_and_at_once() -> None:
    cells = {"rpm_limit": 60, "tpm_limit": "200000", "max_parallel_requests": "5.0", "soft_budget": None}
    assert of(**cells) == ({"requests": "60/min", "tokens": "200000/min", "concurrent": 5}, [])
    assert of(rpm_limit=0, tpm_limit="", max_parallel_requests=None) == ({"requests": "0/min"}, [])
    assert of() == ({}, [])


@pytest.mark.parametrize(
    ("budget", "duration", "expected"),
    [
        (10, "30d", "10 usd/30d"),
        ("12.50", "24h", "12.5 usd/24h"),
        (0.1, "1d", "0.1 usd/24h"),
        (1e-05, "7d", "0.00001 usd/7d"),
        (5, "1mo", "5 usd/month"),
        (5, "30m", "5 usd/30min"),
        (5, "90s", "5 usd/90s"),
        (5, "2w", "5 usd/14d"),
        (0, "1h", "0 usd/1h"),
    ],
)
def test_a_budget_has_its_time(budget: object, duration: str, expected: str) -> None:
    assert of(max_budget=budget, budget_duration=duration) == ({"budget": expected}, [])


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ({"max_budget": 10}, "budget_duration"),
        ({"max_budget": 10, "budget_duration": ""}, "budget_duration"),
        ({"max_budget": 10, "budget_duration": "forever"}, "budget_duration"),
        ({"max_budget": 10, "budget_duration": "0d"}, "budget_duration"),
        ({"max_budget": 10, "budget_duration": "500d"}, "budget_duration"),
        ({"max_budget": 10, "budget_duration": "20mo"}, "budget_duration"),
        ({"max_budget": 1e12, "budget_duration": "1d"}, "max_budget"),
        ({"max_budget": 9007200, "budget_duration": "1d"}, "max_budget"),
        ({"max_budget": 1e-10, "budget_duration": "1d"}, "max_budget"),
        ({"rpm_limit": 0.5}, "rpm_limit"),
        ({"max_parallel_requests": "0.9"}, "max_parallel_requests"),
        ({"max_budget": "much", "budget_duration": "1d"}, "max_budget"),
        ({"max_budget": "nan", "budget_duration": "1d"}, "max_budget"),
        ({"rpm_limit": "many"}, "rpm_limit"),
        ({"rpm_limit": -1}, "rpm_limit"),
        ({"tpm_limit": True}, "tpm_limit"),
        ({"tpm_limit": 10**17}, "tpm_limit"),
        ({"max_parallel_requests": 10**7}, "max_parallel_requests"),
    ],
)
def test_what_cannot_be_carried_over_is_listed(cells: dict[str, object], column: str) -> None:
    assert of(**cells) == ({}, [column])


def test_several_months_are_told() -> None:
    assert of(max_budget=5, budget_duration="2mo") == ({"budget": "5 usd/60d"}, ["budget_duration in months"])
    assert "30 days" in limits.LEFT_OUT["budget_duration in months"]


def test_a_name_with_one_deployment_has_its_limits(bring: Import) -> None:
    imported = bring(
        """
        model_list:
          - {model_name: a, litellm_params: {model: openai/gpt-4o, rpm: 60, max_parallel_requests: 7}}
          - {model_name: b, litellm_params: {model: openai/gpt-4o}, tpm: 1000}
          - {model_name: c, litellm_params: {model: openai/gpt-4o}}
        """
    )
    assert imported.plain["limits"] == {
        "models": {"a": {"requests": "60/min", "concurrent": 7}, "b": {"tokens": "1000/min"}}
    }
    assert not any("rpm" in path or "tpm" in path for path in imported.reasons)


def test_limits_of_several_deployments_of_a_name_are_listed(bring: Import) -> None:
    imported = bring(
        """
        model_list:
          - {model_name: a, litellm_params: {model: openai/gpt-4o, rpm: 60}}
          - {model_name: a, litellm_params: {model: groq/x, rpm: 30, max_parallel_requests: 3}}
          - {model_name: "openai/*", litellm_params: {model: "openai/*", tpm: 5}}
          - {model_name: d, litellm_params: {model: openai/gpt-4o, rpm: 1.0e+17}}
        """
    )
    assert "limits" not in imported.plain
    for path in ("[0].litellm_params.rpm", "[1].litellm_params.rpm", "[1].litellm_params.max_parallel_requests"):
        assert "a has several targets" in imported.reasons[f"model_list{path}"]
    assert "limits.models" in imported.reasons["model_list[2].litellm_params.tpm"]
    assert "no number that a limit can have" in imported.reasons["model_list[3].litellm_params.rpm"]
    assert [target.get("weight") for target in imported.models["a"]["targets"]] == [2, None]
