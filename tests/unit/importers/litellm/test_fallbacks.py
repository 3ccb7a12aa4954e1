"""Fallbacks: by name, by default, by wildcard, by id; what speaks another dialect is left out."""

from __future__ import annotations

from tests.unit.importers.litellm.conftest import Import

MODELS = """
model_list:
  - {model_name: a, litellm_params: {model: openai/gpt-4o}, model_info: {id: the-first}}
  - {model_name: b, litellm_params: {model: groq/llama, weight: 1}}
  - {model_name: b, litellm_params: {model: xai/grok-4, weight: 5}}
  - {model_name: c, litellm_params: {model: anthropic/claude-opus-4}}
  - {model_name: "mistral/*", litellm_params: {model: "mistral/*"}}
"""
B = [{"provider": "xai", "model": "grok-4"}, {"provider": "groq", "model": "llama"}]


def test_a_fallback_is_the_targets_of_its_name_the_heavier_first(bring: Import) -> None:
    imported = bring(MODELS + "litellm_settings: {fallbacks: [{a: [b]}]}\n")
    assert imported.models["a"]["fallback"] == B
    assert "fallback" not in imported.models["b"]


def test_router_settings_go_before_litellm_settings(bring: Import) -> None:
    imported = bring(
        MODELS + "litellm_settings: {fallbacks: [{a: [c]}]}\nrouter_settings: {fallbacks: {a: [b]}, num_retries: 0}\n"
    )
    assert imported.models["a"]["fallback"] == B
    assert imported.reasons["litellm_settings.fallbacks"] == "router_settings.fallbacks goes before it"


def test_default_fallbacks_are_for_every_model_without_its_own(bring: Import) -> None:
    imported = bring(MODELS + "litellm_settings: {fallbacks: [{b: [a]}], default_fallbacks: [b]}\n")
    assert imported.models["a"]["fallback"] == B
    assert imported.models["b"]["fallback"] == [{"provider": "openai", "model": "gpt-4o"}]


def test_a_star_is_the_default(bring: Import) -> None:
    imported = bring(MODELS + 'litellm_settings: {fallbacks: [{"*": [b]}]}\n')
    assert imported.models["a"]["fallback"] == B


def test_a_fallback_may_be_a_model_of_a_wildcard_or_the_id_of_a_deployment(bring: Import) -> None:
    imported = bring(MODELS + "litellm_settings: {fallbacks: [{b: [mistral/mistral-large, the-first]}]}\n")
    assert imported.models["b"]["fallback"] == [
        {"provider": "mistral", "model": "mistral-large"},
        {"provider": "openai", "model": "gpt-4o"},
    ]


def test_a_fallback_of_another_dialect_is_left_out_with_the_reason(bring: Import) -> None:
    imported = bring(MODELS + "router_settings: {fallbacks: [{a: [c, b]}]}\n")
    assert imported.models["a"]["fallback"] == B
    reason = imported.reasons["router_settings.fallbacks[0].a[0]"]
    assert "anthropic does not speak openai's dialect" in reason
    assert "not translated in this release" in reason


def test_targets_of_one_name_that_share_no_dialect_keep_the_one_that_most_speak(bring: Import) -> None:
    imported = bring(
        """
        model_list:
          - {model_name: m, litellm_params: {model: anthropic/claude-opus-4}}
          - {model_name: m, litellm_params: {model: openai/gpt-4o}}
          - {model_name: m, litellm_params: {model: ollama/llama3}}
        """
    )
    assert [target["provider"] for target in imported.models["m"]["targets"]] == ["openai", "ollama"]
    assert "anthropic does not speak" in imported.reasons["model_list[0]"]


def test_a_server_of_several_dialects_keeps_its_fallback_whichever_it_speaks(bring: Import) -> None:
    imported = bring(
        """
        model_list:
          - {model_name: m, litellm_params: {model: ollama/llama3}}
          - {model_name: c, litellm_params: {model: anthropic/claude-opus-4}}
        router_settings: {fallbacks: [{m: [c]}]}
        """
    )
    assert imported.models["m"]["fallback"] == [{"provider": "anthropic", "model": "claude-opus-4"}]


def test_a_model_that_only_anthropic_clients_can_ask_for_is_pointed_out(bring: Import) -> None:
    assert "clients ask for it at /v1/messages" in bring(MODELS).reasons["model_list[3]"]


def test_what_leads_nowhere_is_noted(bring: Import) -> None:
    imported = bring(MODELS + "litellm_settings: {fallbacks: [{a: [gone]}, {ghost: [a]}, {a: [b]}]}\n")
    assert imported.reasons["litellm_settings.fallbacks[0].a[0]"] == "'gone' leads nowhere here"
    assert "is no model here" in imported.reasons["litellm_settings.fallbacks[1].ghost"]
    assert "has fallbacks already" in imported.reasons["litellm_settings.fallbacks[2].a"]


def test_a_fallback_with_a_prompt_of_its_own_keeps_its_model(bring: Import) -> None:
    imported = bring(MODELS + "litellm_settings: {fallbacks: [{a: [{model: b, messages: []}]}]}\n")
    assert imported.models["a"]["fallback"] == B
    assert "sends the same request" in imported.reasons["litellm_settings.fallbacks[0].a[0]"]


def test_a_model_is_no_fallback_of_itself_and_nothing_stands_twice(bring: Import) -> None:
    imported = bring(MODELS + "litellm_settings: {fallbacks: [{a: [a, b, b, the-first]}]}\n")
    assert imported.models["a"]["fallback"] == B


def test_attempts_reach_every_target_whatever_num_retries_says(bring: Import) -> None:
    assert bring(MODELS + "router_settings: {num_retries: 5}\n").plain["max_attempts"] == 6
    imported = bring(MODELS + "router_settings: {num_retries: 0, fallbacks: [{a: [b]}]}\n")
    assert imported.plain["max_attempts"] == 3
    assert bring(MODELS + "litellm_settings: {num_retries: 40}\n").plain["max_attempts"] == 16
    assert "max_attempts" not in bring(MODELS).plain


def test_context_window_and_content_policy_fallbacks_are_listed(bring: Import) -> None:
    imported = bring(
        MODELS + "litellm_settings: {context_window_fallbacks: [{a: [b]}], content_policy_fallbacks: [{a: [b]}]}\n"
    )
    for name in ("context_window_fallbacks", "content_policy_fallbacks"):
        assert "cannot depend on what the error was about" in imported.reasons[f"litellm_settings.{name}"]
    assert "fallback" not in imported.models["a"]
