"""No secret of a LiteLLM file is copied: not into the configuration, not into a note, not into an error."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.config.model import Config
from penstock.config.problem import Problem
from penstock.importers.litellm.values import Value
from tests.unit.importers.litellm.conftest import Import

SECRET = "sk-do-not-copy-me-0123456789"
FILE = f"""
model_list:
  - model_name: m
    litellm_params:
      model: openai/gpt-4o
      api_key: {SECRET}
      extra_headers: {{X-Pass: {SECRET}}}
  - model_name: n
    litellm_params: {{model: openai/gpt-4o, api_key: {SECRET}-of-another}}
  - model_name: o
    litellm_params: {{model: openai/x, api_key: k, api_base: "http://h:1/v1?sig={SECRET}"}}
  - model_name: p
    litellm_params: {{model: bedrock/claude, aws_secret_access_key: {SECRET}}}
  - model_name: q
    litellm_params: {{model: openai/x, api_base: "http://user:{SECRET}@h/v1"}}
environment_variables: {{OPENAI_API_KEY: {SECRET}}}
litellm_settings: {{cache: true, cache_params: {{password: {SECRET}}}}}
router_settings: {{redis_password: {SECRET}}}
general_settings: {{master_key: {SECRET}, database_url: "postgresql://u:{SECRET}@h/d"}}
"""


def test_secrets_written_in_clear_become_variables_and_are_written_nowhere(bring: Import) -> None:
    imported = bring(FILE)
    assert SECRET not in imported.whole.text
    assert not any(SECRET in path + reason for path, reason in imported.reasons.items())
    assert imported.providers["openai"]["api_key"] == "${env:OPENAI_API_KEY}"
    assert imported.providers["openai"]["headers"] == {"x-pass": "${env:OPENAI_X_PASS}"}
    assert imported.providers["openai-2"]["api_key"] == "${env:OPENAI_2_API_KEY}"
    assert imported.providers["h-1"]["query"] == "${env:H_1_QUERY}"
    assert (
        imported.reasons["model_list[0].litellm_params.api_key"]
        == "stands there in clear; it is not copied: set the variable OPENAI_API_KEY to it for providers.openai.api_key"
    )
    assert "credentials do not belong" in imported.reasons["model_list[4].litellm_params.api_base"]
    assert "set these variables" in imported.reasons["environment_variables.OPENAI_API_KEY"]


def test_a_new_variable_is_none_that_the_file_uses_already(bring: Import) -> None:
    imported = bring(
        """
        model_list:
          - {model_name: a, litellm_params: {model: openai/gpt-4o, api_key: sk-literal}}
          - {model_name: b, litellm_params: {model: openai/gpt-4o}}
          - {model_name: c, litellm_params: {model: groq/x, api_key: os.environ/OPENAI_API_KEY_2}}
        """
    )
    assert imported.providers["openai"]["api_key"] == "${env:OPENAI_API_KEY_3}"
    assert "api_key" not in imported.providers["openai-2"]


def test_the_same_key_written_twice_is_one_provider_and_both_places_are_named(bring: Import) -> None:
    imported = bring(
        """
        model_list:
          - {model_name: a, litellm_params: {model: openai/gpt-4o, api_key: sk-literal}}
          - {model_name: b, litellm_params: {model: openai/gpt-4o-mini, api_key: sk-literal}}
        """
    )
    assert list(imported.providers) == ["openai"]
    assert {"model_list[0].litellm_params.api_key", "model_list[1].litellm_params.api_key"} <= imported.reasons.keys()


def test_the_key_of_a_vendor_is_sent_to_nobody_else(bring: Import) -> None:
    imported = bring(
        """
        model_list:
          - {model_name: a, litellm_params: {model: openai/x, api_base: "http://10.0.0.1:1/v1"}}
          - {model_name: b, litellm_params: {model: groq/x, api_base: "http://10.0.0.2:1/v1"}}
          - {model_name: c, litellm_params: {model: nvidia_nim/x, api_base: "http://10.0.0.3:1/v1"}}
        """
    )
    assert not any("api_key" in provider for provider in imported.providers.values())
    assert all("no key is sent" in imported.reasons[f"model_list[{index}].litellm_params.model"] for index in range(3))


def test_an_error_in_a_file_repeats_no_value(refused: Callable[[str], list[Problem]]) -> None:
    problems = refused(f"model_list: {SECRET}\nlitellm_settings: [{SECRET}]\n")
    assert len(problems) == 2
    assert not any(SECRET in str(problem) for problem in problems)


def test_a_secret_has_no_repr() -> None:
    assert SECRET not in repr(Value(SECRET, "secret"))


@pytest.mark.parametrize("text", ["a${env:HOME}b", "${file:/etc/passwd}", "$${x}"])
def test_text_that_looks_like_a_reference_stays_text(bring: Import, read: Callable[..., Config], text: str) -> None:
    imported = bring(
        f"""
        model_list:
          - model_name: m
            litellm_params: {{model: openai/x, api_key: os.environ/K, extra_headers: {{x-title: "{text}"}}}}
        """
    )
    parts = read(imported.whole.text, K="sk-of-openai").providers["openai"].headers["x-title"].parts
    assert "".join(getattr(part, "text", "?") for part in parts) == text
    assert imported.whole.variables == ["K"]
