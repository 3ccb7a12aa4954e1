"""What has no equivalent is listed with its path and the reason, and never silently lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.config.model import Config
from penstock.importers.litellm import prefixes
from penstock.providers.catalogue import load_catalogue
from tests.unit.importers.litellm.conftest import Import

GOOD = "  - {model_name: good, litellm_params: {model: openai/gpt-4o}}\n"

# name: an entry, the path of the note below it, part of the reason
ENTRIES: dict[str, tuple[str, str, str]] = {
    "bedrock": ("{model: bedrock/anthropic.claude-v2, aws_region_name: us-east-1}", "model", "not signed here"),
    "vertex": ("{model: vertex_ai/gemini-pro, vertex_project: p}", "model", "kind: gemini"),
    "sagemaker": ("{model: sagemaker/x}", "model", "not signed here"),
    "azure_ai": ("{model: azure_ai/command-r, api_base: os.environ/B}", "model", "kind: azure-anthropic"),
    "a dialect of its own": ("{model: huggingface/zephyr, api_base: http://0.0.0.0:8001}", "model", "dialect: openai"),
    "an unknown prefix": ("{model: nonsense/x}", "model", "nonsense: its own dialect"),
    "no prefix that is known": ("{model: zephyr}", "model", "the name says no provider"),
    "a model and nothing behind the prefix": ("{model: openai/}", "model", "names no model"),
    "the model of every provider": ('{model: "*"}', "model", "names no provider"),
    "Entra ID": (
        "{model: azure/x, api_base: 'https://r.openai.azure.com', azure_ad_token: t}",
        "azure_ad_token",
        "Entra",
    ),
    "a placeholder as address": ("{model: openai/x, api_base: <your-server>}", "api_base", "expected http://"),
    "an address of Gemini that is another's": ("{model: gemini/x, api_base: 'http://h/v1'}", "api_base", "own dialect"),
    "a made up answer": ("{model: openai/x, mock_response: hello}", "mock_response", "not made up"),
    "a server without an address": ("{model: xinference/x, api_base: ''}", "model", "XINFERENCE_API_BASE"),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_a_deployment_that_cannot_be_carried_over_says_why(name: str, bring: Import) -> None:
    params, at, reason = ENTRIES[name]
    imported = bring(f"model_list:\n{GOOD}  - {{model_name: m, litellm_params: {params}}}\n")
    assert reason in imported.reasons[f"model_list[1].litellm_params.{at}"]
    assert "good" in imported.models


def test_every_parameter_without_an_equivalent_is_listed(bring: Import) -> None:
    imported = bring(
        """
        model_list:
          - model_name: m
            litellm_params:
              {model: openai/gpt-4o, temperature: 0.2, rpm: 6, tpm: 1000, max_retries: 2, drop_params: true, tags: [a],
              ssl_verify: false, input_cost_per_token: 0.1, some_new_thing: 1, weight: 1, seed: null, region_name: "",
              extra_headers: {"AI-Resource Group": x, Host: y, Authorization: z}, api_key: os.environ/K}
            model_info: {id: x, mode: chat, access_groups: [beta], supported_environments: [production], max_tokens: 5}
            tpm: 5
            order_of_things: 1
        """
    )
    listed = set(imported.reasons)
    for name in ("temperature", "max_retries", "drop_params", "tags", "input_cost_per_token"):
        assert f"model_list[0].litellm_params.{name}" in listed
    assert imported.reasons["model_list[0].litellm_params.some_new_thing"] == "has no equivalent"
    for name in ("AI-Resource Group", "Host", "Authorization"):
        assert f"model_list[0].litellm_params.extra_headers.{name}" in listed
    for name in ("access_groups", "supported_environments", "max_tokens"):
        assert f"model_list[0].model_info.{name}" in listed
    assert "model_list[0].order_of_things" in listed
    for nothing in ("seed", "region_name", "weight", "model", "ssl_verify"):
        assert f"model_list[0].litellm_params.{nothing}" not in listed
    assert imported.providers == {"openai": {"api_key": "${env:K}"}}


def test_every_setting_without_an_equivalent_is_listed(bring: Import) -> None:
    imported = bring(
        f"""
model_list:
{GOOD}
litellm_settings:
  success_callback: [langfuse]
  callbacks: prometheus
  cache: true
  cache_params: {{type: redis}}
  drop_params: true
  set_verbose: false
  brand_new: 1
router_settings: {{routing_strategy: latency-based-routing, redis_host: h, cooldown_time: 30}}
general_settings:
  {{master_key: os.environ/M, database_url: os.environ/DATABASE_URL, alerting: [slack], alert_types: []}}
guardrails: [{{guardrail_name: g}}]
mcp_servers: {{github: {{url: x}}}}
something_else: 5
"""
    )
    assert "nothing is called for each request" in imported.reasons["litellm_settings.success_callback"]
    assert "not cached" in imported.reasons["litellm_settings.cache_params"]
    assert imported.reasons["litellm_settings.brand_new"] == "has no equivalent"
    assert "drawn at random" in imported.reasons["router_settings.routing_strategy"]
    assert "data_dir/admin.token" in imported.reasons["general_settings.master_key"]
    assert 'store: "${env:DATABASE_URL}"' in imported.reasons["general_settings.database_url"]
    assert imported.reasons["guardrails"] == "requests and answers are not inspected"
    assert imported.reasons["mcp_servers"] == "MCP servers are not served"
    assert imported.reasons["something_else"] == "has no equivalent"
    assert not {"litellm_settings.set_verbose", "general_settings.alert_types"} & imported.reasons.keys()


def test_settings_of_spend_logs_say_what_to_write_by_hand(bring: Import, read: Callable[[str], Config]) -> None:
    settings = {
        "store_prompts_in_spend_logs": ("true", "audit: {content: {prompts: true, answers: true}}"),
        "disable_spend_logs": ("true", "journal: {durability: none}"),
        "disable_spend_updates": ("true", "journal: {durability: none}"),
        "maximum_spend_logs_retention_period": ("7d", "audit: {retain: 30d}"),
    }
    given = ", ".join(f"{name}: {value}" for name, (value, _) in settings.items())
    imported = bring(f"model_list:\n{GOOD}general_settings: {{{given}, maximum_spend_logs_retention_interval: 1d}}\n")
    for name, (_, advice) in settings.items():
        assert f"write {advice}" in imported.reasons[f"general_settings.{name}"]
        read(f"providers: {{openai: {{}}}}\n{advice}\n")  # what is told to be written can be read
    assert "audit.retain" in imported.reasons["general_settings.maximum_spend_logs_retention_interval"]


def test_settings_that_say_what_happens_anyway_are_not_listed(bring: Import) -> None:
    imported = bring(f"model_list:\n{GOOD}router_settings: {{routing_strategy: simple-shuffle}}\n")
    assert imported.reasons == {}
    assert "not carried over" not in imported.whole.text


@pytest.mark.parametrize(
    ("name", "model", "reason"),
    [
        ("fo::*:static::*", "openai/fo::*:static::*", "at most one `*`"),
        ("claude-*", "openai/anthropic-claude-*", "cannot be rewritten"),
        ("plain", "openai/*", "cannot be rewritten"),
        ("with space", "openai/gpt-4o", "printable, without spaces"),
        ("x" * 300, "openai/gpt-4o", "at most 256 characters"),
    ],
)
def test_a_name_that_cannot_be_had_is_listed(bring: Import, name: str, model: str, reason: str) -> None:
    imported = bring(f'model_list:\n{GOOD}  - {{model_name: "{name}", litellm_params: {{model: "{model}"}}}}\n')
    assert reason in imported.reasons["model_list[1]"]
    assert list(imported.models) == ["good"]


def test_a_prefix_of_models_leads_to_one_provider_only(bring: Import) -> None:
    imported = bring(
        """
        model_list:
          - {model_name: "openai/*", litellm_params: {model: "openai/*", api_key: os.environ/A}}
          - {model_name: "openai/*", litellm_params: {model: "openai/*", api_key: os.environ/B}}
          - {model_name: "groq/llama-*", litellm_params: {model: "groq/llama-*", timeout: 5}}
        """
    )
    assert imported.providers == {"openai": {"api_key": "${env:A}"}, "groq": {}}
    assert "one name leads to one provider only" in imported.reasons["model_list[1]"]
    assert "reaches every model of the provider" in imported.reasons["model_list[2]"]
    assert "write timeouts under providers.groq" in imported.reasons["model_list[2].litellm_params.timeout"]


def test_a_wildcard_behind_the_name_of_a_provider_would_never_be_reached(bring: Import) -> None:
    imported = bring(
        """
        model_list:
          - {model_name: a, litellm_params: {model: groq/llama}}
          - {model_name: "groq/*", litellm_params: {model: openai/gpt-4o}}
        """
    )
    assert list(imported.models) == ["a"]
    assert "would never be reached" in imported.reasons["model_list[1]"]


def test_a_provider_named_like_an_entry_of_the_catalogue_takes_nothing_from_it(bring: Import) -> None:
    imported = bring(
        """
        model_list:
          - model_name: "openai/*"
            litellm_params: {model: "openai/*", api_base: "http://10.0.0.1/v1"}
        """
    )
    provider = imported.providers["openai"]
    assert (provider["dialect"], provider["supports_stream_usage"], provider["patterns"]) == ("openai", False, [])
    assert provider["auth"] == {"header": "authorization", "prefix": "Bearer "}
    assert imported.whole.variables == []


def test_a_server_is_not_named_like_a_vendor_whose_key_it_would_get(bring: Import) -> None:
    imported = bring(
        f"""
model_list:
{GOOD}
  - model_name: "azure/*"
    litellm_params: {{model: "openai/*", api_base: "http://10.0.0.1/v1"}}
"""
    )
    assert list(imported.providers) == ["openai"]
    assert "whose key would be sent to this server" in imported.reasons["model_list[1]"]


def test_a_file_of_which_nothing_is_left_does_not_pass_and_says_so(bring: Import) -> None:
    imported = bring("model_list: [{model_name: m, litellm_params: {model: bedrock/x}}]", passes=False)
    assert imported.whole.problems[0].reason.startswith("no provider is configured")
    assert imported.plain == {}


def test_every_prefix_leads_to_an_entry_of_the_catalogue_or_to_an_address() -> None:
    catalogue = load_catalogue()
    for name, prefix in prefixes.CARRIED.items():
        assert prefix.kind in catalogue or prefix.base_url or prefix.base, name
    assert not prefixes.CARRIED.keys() & prefixes.REFUSED.keys()
