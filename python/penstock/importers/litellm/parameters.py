"""The parameters of a deployment that are no address, key or model: time limits, and what has no equivalent."""

from __future__ import annotations

from decimal import Decimal

from penstock.importers.litellm.notes import Notes
from penstock.importers.litellm.values import Field, number, text, variable

MAX_MS = 604_800_000
TOKENS = ("azure_ad_token", "client_secret", "tenant_id", "azure_username", "azure_password")
LIMITS = ("rpm", "tpm", "max_parallel_requests")

_READ = frozenset(
    (
        *(
            "model",
            "api_key",
            "api_base",
            "base_url",
            "organization",
            "extra_headers",
            "headers",
            "custom_llm_provider",
        ),
        *("litellm_credential_name", "weight", "order", "timeout", "stream_timeout", *LIMITS),
    )
)
_BUDGET = "a budget holds for a name or a provider: write it under limits.models or limits.providers, and prices"
_OF_KEY = "a limit of a key holds for all of its models together: see limits.default"
_RETRY = "an attempt is never repeated at the same target: give the model a second target, and see max_attempts"
_ASKED = "is a default for requests; Penstock sends what the client wrote, so let the client write it"
_PRICE = "is not carried over: write it under prices, in usd per million tokens"
_TLS = "certificates are always checked; name an authority of your own in tls.ca_file"

_REASONS = {
    "max_budget": _BUDGET,
    "budget_duration": _BUDGET,
    "default_api_key_tpm_limit": _OF_KEY,
    "default_api_key_rpm_limit": _OF_KEY,
    "num_retries": _RETRY,
    "max_retries": _RETRY,
    "drop_params": (
        "fields of a request are never dropped: what the provider does not know it answers with its own error"
    ),
    "additional_drop_params": "fields of a request are never dropped; let the client leave them out",
    "allowed_openai_params": "every field of a request passes as it came",
    "api_version": "Azure's v1 address takes none; a model that needs it is out of reach",
    "azure_ad_token": "tokens of Entra ID are not fetched here; the API key is used",
    "tags": "targets are not chosen by the tags of a request",
    "region_name": "targets are not chosen by region",
    "ssl_verify": _TLS,
    "ssl_certificate": _TLS,
    "configurable_clientside_auth_params": (
        "clients cannot choose the address; see credentials: client for their own key"
    ),
    "use_in_pass_through": "see passthrough of a provider",
    "input_cost_per_token": _PRICE,
    "output_cost_per_token": _PRICE,
    "input_cost_per_second": _PRICE,
    "output_cost_per_second": _PRICE,
}
_DEFAULTS = frozenset(
    (
        *("temperature", "top_p", "top_k", "n", "max_tokens", "max_completion_tokens", "seed", "stop", "user", "tools"),
        *(
            "presence_penalty",
            "frequency_penalty",
            "logit_bias",
            "response_format",
            "tool_choice",
            "functions",
            "stream",
        ),
        *(
            "reasoning_effort",
            "thinking",
            "metadata",
            "dimensions",
            "extra_body",
            "service_tier",
            "num_ctx",
            "keep_alive",
        ),
        *("stream_options", "parallel_tool_calls", "logprobs", "top_logprobs", "verbosity", "modalities", "store"),
        *("encoding_format", "guardrails", "cache_control_injection_points"),
    )
)
_INFO = {
    "supported_environments": "a model is the same in every environment; keep a file for each",
    "access_groups": (
        "a group of models is not a name here; `--keys` writes the models of the group into each key that has it"
    ),
    "team_id": "a model belongs to no team; write the models that a team may use into the team",
    "blocked": "a model cannot be paused; take it out of the file",
    "max_input_tokens": "requests are not measured before they are sent",
    "input_cost_per_token": _PRICE,
    "output_cost_per_token": _PRICE,
    "custom_tokenizer": "tokens are not counted for clients",
}
_OF_LITELLM = frozenset(
    ("id", "mode", "base_model", "description", "version", "db_model")
)  # nothing is lost with these


def milliseconds(field: Field | None, notes: Notes) -> int | None:
    """A time limit written in seconds."""
    if field is None or field.is_off:
        return None
    written = text(field)
    if written is not None and (name := variable(written)):
        notes.add(field.path, f"a limit is written out: put the seconds of {name} into timeouts.first_token")
        return None
    seconds = number(field)
    if seconds is None or not Decimal("0.001") <= seconds * 1000 <= MAX_MS or seconds * 1000 < 1:
        notes.add(field.path, "expected seconds, more than 0 and at most a week")
        return None
    return int(seconds * 1000)


def first_token_ms(params: dict[str, Field], notes: Notes) -> int | None:
    """LiteLLM's `timeout` ends an attempt whose answer is not complete; an unstreamed answer has its head only then."""
    limit = milliseconds(params.get("timeout"), notes)
    if limit is not None:
        reason = (
            "becomes timeouts.first_token: for an unstreamed answer the same; a stream that has begun may take longer"
        )
        notes.add(params["timeout"].path, reason)
    if "stream_timeout" in params and not params["stream_timeout"].is_off:
        reason = (
            "first_token holds for unstreamed answers too, so the shorter limit of streams is left out; if that is "
            "right for "
            "you, write it as timeouts.first_token of the model"
        )
        notes.add(params["stream_timeout"].path, reason)
    return limit


def list_rest(params: dict[str, Field], entry: dict[str, Field], info: dict[str, Field], notes: Notes) -> None:
    """Notes everything that is not carried over."""
    for name, field in params.items():
        if name not in _READ and not field.is_off:
            reason = _ASKED if name in _DEFAULTS else "has no equivalent"
            notes.add(field.path, _REASONS.get(name, reason))
    for name, field in info.items():
        if name not in _OF_LITELLM and not field.is_off:
            notes.add(field.path, _INFO.get(name, "says something about the model that nothing here asks for"))
    for name, field in entry.items():
        if name not in ("model_name", "litellm_params", "model_info", *LIMITS) and not field.is_off:
            notes.add(field.path, "has no equivalent")
