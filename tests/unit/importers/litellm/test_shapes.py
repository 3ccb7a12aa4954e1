"""The shapes that LiteLLM's documentation shows: what each becomes; every result passes our own reader."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.importers.litellm.conftest import Import

# name: the file, its providers, its models
SHAPES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "one model with its key in the environment": (
        """
        model_list:
          - model_name: chat
            litellm_params: {model: openai/gpt-4o, api_key: os.environ/MY_KEY}
        """,
        {"openai": {"api_key": "${env:MY_KEY}"}},
        {"chat": {"targets": [{"provider": "openai", "model": "gpt-4o"}]}},
    ),
    "a model without a prefix, and without a key": (
        """
        model_list:
          - {model_name: chat, litellm_params: {model: gpt-4o}}
          - {model_name: big, litellm_params: {model: claude-opus-4}}
          - {model_name: text-embedding-ada-002, litellm_params: {model: text-embedding-ada-002}}
        """,
        {"openai": {}, "anthropic": {}},
        {
            "chat": {"targets": [{"provider": "openai", "model": "gpt-4o"}]},
            "big": {"targets": [{"provider": "anthropic", "model": "claude-opus-4"}]},
            "text-embedding-ada-002": {"targets": [{"provider": "openai", "model": "text-embedding-ada-002"}]},
        },
    ),
    "two Azure resources behind one name, weighted by rpm": (
        """
        model_list:
          - model_name: gpt-4o
            litellm_params:
              model: azure/gpt-4o-eu
              api_base: https://eu-resource.openai.azure.com/
              api_key: os.environ/KEY_EU
              api_version: "2024-02-01"
              rpm: 900
          - model_name: gpt-4o
            litellm_params:
              model: azure/gpt-4o-ca
              api_base: https://ca-resource.openai.azure.com/openai/deployments/gpt-4o-ca?api-version=2024-02-01
              api_key: os.environ/KEY_CA
              rpm: 10
        """,
        {
            "azure": {"base_url": "https://eu-resource.openai.azure.com/openai/v1", "api_key": "${env:KEY_EU}"},
            "azure-ca-resource": {
                "kind": "azure",
                "base_url": "https://ca-resource.openai.azure.com/openai/v1",
                "api_key": "${env:KEY_CA}",
            },
        },
        {
            "gpt-4o": {
                "targets": [
                    {"provider": "azure", "model": "gpt-4o-eu", "weight": 90},
                    {"provider": "azure-ca-resource", "model": "gpt-4o-ca"},
                ]
            }
        },
    ),
    "Azure with its address in the environment": (
        """
        model_list:
          - model_name: azure-embeddings
            litellm_params: {model: azure/embed, api_base: os.environ/AZURE_API_BASE, api_key: os.environ/AZURE_API_KEY}
        """,
        {"azure": {"base_url": "${env:AZURE_API_BASE}/openai/v1", "api_key": "${env:AZURE_API_KEY}"}},
        {"azure-embeddings": {"targets": [{"provider": "azure", "model": "embed"}]}},
    ),
    "an OpenAI-compatible server without a key": (
        """
        model_list:
          - model_name: vllm-models
            litellm_params: {model: openai/facebook/opt-125m, api_base: http://10.0.0.5:8000/v1/, api_key: none}
            model_info: {version: 2}
        """,
        {"10.0.0.5-8000": {"dialect": "openai", "base_url": "http://10.0.0.5:8000/v1"}},
        {"vllm-models": {"targets": [{"provider": "10.0.0.5-8000", "model": "facebook/opt-125m"}]}},
    ),
    "vLLM by its own prefix": (
        """
        model_list:
          - model_name: qwen
            litellm_params: {model: hosted_vllm/Qwen/Qwen3, api_base: http://gpu.internal:8000/v1}
        """,
        {"vllm": {"base_url": "http://gpu.internal:8000/v1"}},
        {"qwen": {"targets": [{"provider": "vllm", "model": "Qwen/Qwen3"}]}},
    ),
    "Ollama here and there": (
        """
        model_list:
          - {model_name: local, litellm_params: {model: ollama/llama3}}
          - {model_name: far, litellm_params: {model: ollama_chat/llama3, api_base: "http://10.1.1.1:11434/api/chat"}}
        """,
        {"ollama": {}, "ollama-10.1.1.1-11434": {"kind": "ollama", "base_url": "http://10.1.1.1:11434"}},
        {
            "local": {"targets": [{"provider": "ollama", "model": "llama3"}]},
            "far": {"targets": [{"provider": "ollama-10.1.1.1-11434", "model": "llama3"}]},
        },
    ),
    "vendors whose prefix is called otherwise here": (
        """
        model_list:
          - {model_name: a, litellm_params: {model: together_ai/meta-llama/Llama-3-70b}}
          - {model_name: b, litellm_params: {model: fireworks_ai/llama-v3-70b}}
          - {model_name: c, litellm_params: {model: fireworks_ai/accounts/me/models/mine}}
          - {model_name: d, litellm_params: {model: openrouter/openai/gpt-4o}}
          - {model_name: e, litellm_params: {model: cohere_chat/command-r}}
          - {model_name: f, litellm_params: {model: perplexity/sonar}}
        """,
        {
            "together": {},
            "fireworks": {},
            "openrouter": {},
            "cohere": {},
            "perplexity": {"api_key": "${env:PERPLEXITYAI_API_KEY}"},
        },
        {
            "a": {"targets": [{"provider": "together", "model": "meta-llama/Llama-3-70b"}]},
            "b": {"targets": [{"provider": "fireworks", "model": "accounts/fireworks/models/llama-v3-70b"}]},
            "c": {"targets": [{"provider": "fireworks", "model": "accounts/me/models/mine"}]},
            "d": {"targets": [{"provider": "openrouter", "model": "openai/gpt-4o"}]},
            "e": {"targets": [{"provider": "cohere", "model": "command-r"}]},
            "f": {"targets": [{"provider": "perplexity", "model": "sonar"}]},
        },
    ),
    "a vendor that the catalogue does not have, at its own address": (
        """
        model_list:
          - {model_name: nemo, litellm_params: {model: nvidia_nim/nemotron}}
        """,
        {
            "integrate": {
                "dialect": "openai",
                "base_url": "https://integrate.api.nvidia.com/v1",
                "api_key": "${env:NVIDIA_NIM_API_KEY}",
            }
        },
        {"nemo": {"targets": [{"provider": "integrate", "model": "nemotron"}]}},
    ),
    "a vendor of the catalogue that is asked as an OpenAI-compatible server": (
        """
        model_list:
          - model_name: l
            litellm_params: {model: openai/llama, api_base: "https://api.groq.com/openai/v1", api_key: os.environ/G}
        """,
        {"groq": {"api_key": "${env:G}"}},
        {"l": {"targets": [{"provider": "groq", "model": "llama"}]}},
    ),
    "organization and extra headers": (
        """
        model_list:
          - model_name: openai-gpt-4o
            litellm_params:
              model: openai/gpt-4o
              api_key: os.environ/K
              organization: org-ours
              extra_headers: {OpenAI-Project: proj, X-Gateway-Pass: hunter2hunter2}
        """,
        {
            "openai": {
                "api_key": "${env:K}",
                "headers": {
                    "openai-project": "proj",
                    "x-gateway-pass": "${env:OPENAI_X_GATEWAY_PASS}",
                    "openai-organization": "org-ours",
                },
            }
        },
        {"openai-gpt-4o": {"targets": [{"provider": "openai", "model": "gpt-4o"}]}},
    ),
    "a list of organizations is a deployment for each": (
        """
        model_list:
          - model_name: gpt-4o
            litellm_params: {model: openai/gpt-4o, api_key: os.environ/K, organization: [org-1, org-2]}
        """,
        {
            "openai": {"api_key": "${env:K}", "headers": {"openai-organization": "org-1"}},
            "openai-2": {"kind": "openai", "api_key": "${env:K}", "headers": {"openai-organization": "org-2"}},
        },
        {
            "gpt-4o": {
                "targets": [{"provider": "openai", "model": "gpt-4o"}, {"provider": "openai-2", "model": "gpt-4o"}]
            }
        },
    ),
    "every model of a vendor": (
        """
        model_list:
          - {model_name: "anthropic/*", litellm_params: {model: "anthropic/*", api_key: os.environ/ANTHROPIC_API_KEY}}
          - {model_name: "groq/*", litellm_params: {model: "groq/*"}}
          - {model_name: "llmengine/*", litellm_params: {model: "openai/*", api_key: os.environ/K}}
        """,
        {
            "anthropic": {"api_key": "${env:ANTHROPIC_API_KEY}"},
            "groq": {},
            "llmengine": {"kind": "openai", "api_key": "${env:K}"},
        },
        {},
    ),
    "wildcards that pass the name on": (
        """
        model_list:
          - {model_name: "gpt-*", litellm_params: {model: "openai/gpt-*"}}
          - {model_name: "*", litellm_params: {model: "openrouter/*"}}
          - {model_name: "fast-*", litellm_params: {model: openai/gpt-4o-mini}}
        """,
        {"openai": {}, "openrouter": {}},
        {
            "gpt-*": {"targets": [{"provider": "openai"}]},
            "*": {"targets": [{"provider": "openrouter"}]},
            "fast-*": {"targets": [{"provider": "openai", "model": "gpt-4o-mini"}]},
        },
    ),
    "aliases of a group": (
        """
        model_list:
          - {model_name: gpt-3.5-turbo, litellm_params: {model: openai/gpt-3.5-turbo}}
        router_settings:
          model_group_alias:
            gpt-4: gpt-3.5-turbo
            GPT-3.5-turbo: {model: gpt-3.5-turbo, hidden: true}
        """,
        {"openai": {}},
        {
            name: {"targets": [{"provider": "openai", "model": "gpt-3.5-turbo"}]}
            for name in ("gpt-3.5-turbo", "gpt-4", "GPT-3.5-turbo")
        },
    ),
    "one set of credentials for several models": (
        """
        model_list:
          - {model_name: a, litellm_params: {model: azure/a, litellm_credential_name: shared}}
          - {model_name: b, litellm_params: {model: azure/b, litellm_credential_name: shared}}
        credential_list:
          - credential_name: shared
            credential_values: {api_key: os.environ/K, api_base: "https://r.openai.azure.com", api_version: "1"}
            credential_info: {description: for both}
        """,
        {"azure": {"base_url": "https://r.openai.azure.com/openai/v1", "api_key": "${env:K}"}},
        {
            "a": {"targets": [{"provider": "azure", "model": "a"}]},
            "b": {"targets": [{"provider": "azure", "model": "b"}]},
        },
    ),
    "deployments in an order": (
        """
        model_list:
          - {model_name: m, litellm_params: {model: openai/gpt-4o, order: 2}}
          - {model_name: m, litellm_params: {model: groq/llama, order: 1}}
        """,
        {"groq": {}, "openai": {}},
        {
            "m": {
                "targets": [{"provider": "groq", "model": "llama"}],
                "fallback": [{"provider": "openai", "model": "gpt-4o"}],
            }
        },
    ),
    "weights": (
        """
        model_list:
          - {model_name: m, litellm_params: {model: openai/gpt-4o, weight: 0.9}}
          - {model_name: m, litellm_params: {model: groq/llama, weight: 0.1}}
          - {model_name: m, litellm_params: {model: xai/grok-4}}
        """,
        {"openai": {}, "groq": {}, "xai": {}},
        {
            "m": {
                "targets": [
                    {"provider": "openai", "model": "gpt-4o", "weight": 9},
                    {"provider": "groq", "model": "llama"},
                ],
                "fallback": [{"provider": "xai", "model": "grok-4"}],
            }
        },
    ),
    "the provider apart from the model": (
        """
        model_list:
          - {model_name: m, litellm_params: {model: my-deployment, custom_llm_provider: azure, api_base: "https://r.openai.azure.com"}}
        """,
        {"azure": {"base_url": "https://r.openai.azure.com/openai/v1", "api_key": "${env:AZURE_API_KEY}"}},
        {"m": {"targets": [{"provider": "azure", "model": "my-deployment"}]}},
    ),
    "time limits of a model": (
        """
        model_list:
          - {model_name: m, litellm_params: {model: openai/gpt-4o, timeout: 300, stream_timeout: 30}}
        """,
        {"openai": {}},
        {"m": {"targets": [{"provider": "openai", "model": "gpt-4o"}], "timeouts": {"first_token": "5m"}}},
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_documented_shape_becomes(name: str, bring: Import) -> None:
    text, providers, models = SHAPES[name]
    imported = bring(text)
    assert imported.providers == providers
    assert imported.models == models


def test_the_file_begins_with_what_it_is_and_what_it_needs(bring: Import) -> None:
    text, _, _ = SHAPES["organization and extra headers"]
    whole = bring(text).whole
    assert whole.text.startswith("# penstock.yaml, made by `penstock import litellm` from config.yaml.\n")
    assert whole.variables == ["K", "OPENAI_X_GATEWAY_PASS"]
    assert "# Its environment needs K, OPENAI_X_GATEWAY_PASS." in whole.text
