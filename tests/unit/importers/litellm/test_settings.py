"""Settings that a `penstock.yaml` has a field for."""

from __future__ import annotations

import pytest

from tests.unit.importers.litellm.conftest import Import

GOOD = "model_list: [{model_name: m, litellm_params: {model: openai/gpt-4o}}]\n"


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("litellm_settings: {request_timeout: 600}", "timeouts", {"first_token": "10m"}),
        (
            "router_settings: {timeout: 1.5}\nlitellm_settings: {request_timeout: 9}",
            "timeouts",
            {"first_token": "1500ms"},
        ),
        ("general_settings: {max_request_size_mb: 8}", "body", {"max_bytes": "8MiB"}),
        ("litellm_settings: {json_logs: true}", "log", {"format": "json"}),
        ("router_settings: {num_retries: 7}", "max_attempts", 8),
    ],
)
def test_a_setting_becomes(bring: Import, text: str, field: str, value: object) -> None:
    assert bring(f"{GOOD}{text}\n").plain[field] == value


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ("router_settings: {timeout: soon}", "router_settings.timeout", "expected seconds"),
        ("router_settings: {timeout: 1e30}", "router_settings.timeout", "expected seconds"),
        ("router_settings: {timeout: -1}", "router_settings.timeout", "expected seconds"),
        ("router_settings: {timeout: os.environ/T}", "router_settings.timeout", "put the seconds of T"),
        ("litellm_settings: {num_retries: 2.5}", "litellm_settings.num_retries", "small whole number"),
        (
            "general_settings: {max_request_size_mb: 5000}",
            "general_settings.max_request_size_mb",
            "from 1 KiB to 1 GiB",
        ),
    ],
)
def test_a_value_that_cannot_be_used_is_noted(bring: Import, text: str, path: str, reason: str) -> None:
    imported = bring(f"{GOOD}{text}\n")
    assert reason in imported.reasons[path]
    assert set(imported.plain) == {"providers", "models"}


def test_an_alias_goes_before_a_model_of_its_name_and_one_to_nowhere_is_noted(bring: Import) -> None:
    imported = bring(
        """
        model_list:
          - {model_name: a, litellm_params: {model: openai/gpt-4o}}
          - {model_name: b, litellm_params: {model: groq/llama}}
        router_settings: {model_group_alias: {a: b, c: gone, d: "groq/*", "e*": a}}
        litellm_settings: {model_alias_map: {f: a}}
        """
    )
    assert imported.models["a"]["targets"] == [{"provider": "groq", "model": "llama"}]
    assert imported.models["f"]["targets"] == imported.models["a"]["targets"]
    assert "'gone' leads nowhere here" in imported.reasons["router_settings.model_group_alias.c"]
    assert "an alias has no `*`" in imported.reasons["router_settings.model_group_alias.e*"]
    assert set(imported.models) == {"a", "b", "f"}
