"""Settings of a LiteLLM file that become nothing here: why, and what to do instead."""

from __future__ import annotations

NOTHING = "has no equivalent"

_LIMITS = "is not carried over: write limits.default for each key, limits.global for all of them together"
_CALLBACKS = "nothing is called for each request; see /metrics, the log lines and log.access"
_CACHE = "answers are not cached"
_REDIS = "write shared, which names the Redis that nodes share their limits in"
_COOLDOWN = "a target whose host could not be reached is tried last for 10 s; there is nothing to set"
_GUARD = "requests and answers are not inspected"
_MCP = "MCP servers are not served"
_SSO = "people do not sign in; keys and admin tokens are all there is"
_ALERTS = "alerts are made from /metrics by what watches it"
_RECORDED = (
    "requests are recorded with what they cost, see penstock usage; write journal: {durability: none} if nothing is to "
    "be recorded, limits count all the same"
)
_TLS = "certificates are always checked; name an authority of your own in tls.ca_file"
_ONLY_FAILURES = "a fallback follows whatever failure may be retried; it cannot depend on what the error was about"
_ENTRY = "keys are made one by one; there are no defaults for them"
_HEALTH = "providers are not probed; /health/ready says whether this node serves"

TOP: dict[str, str] = {
    "environment_variables": "set these variables in the environment of Penstock; their values are not copied",
    "guardrails": _GUARD,
    "prompts": "prompts are not kept here",
    "mcp_servers": _MCP,
    "mcp_tools": _MCP,
    "callback_settings": _CALLBACKS,
    "search_tools": "no search is offered",
    "vector_store_registry": "vector stores are not served; see passthrough of a provider",
    "assistant_settings": "see passthrough of a provider",
    "files_settings": "see passthrough of a provider",
    "finetune_settings": "see passthrough of a provider",
    "policies": _GUARD,
}

LITELLM_SETTINGS: dict[str, str] = {
    "callbacks": _CALLBACKS,
    "success_callback": _CALLBACKS,
    "failure_callback": _CALLBACKS,
    "service_callbacks": _CALLBACKS,
    "audit_log_callbacks": _CALLBACKS,
    "turn_off_message_logging": "prompts and answers are never logged",
    "redact_user_api_key_info": "keys are never logged",
    "redact_messages_in_exceptions": "prompts and answers are never logged",
    "cache": _CACHE,
    "cache_params": _CACHE,
    "enable_caching_on_provider_specific_optional_params": _CACHE,
    "drop_params": (
        "fields of a request are never dropped: what the provider does not know it answers with its own error"
    ),
    "modify_params": "requests are not changed",
    "set_verbose": "write log: {level: debug} if you want more lines",
    "context_window_fallbacks": _ONLY_FAILURES,
    "content_policy_fallbacks": _ONLY_FAILURES,
    "allowed_fails": _COOLDOWN,
    "cooldown_time": _COOLDOWN,
    "ssl_verify": _TLS,
    "ssl_certificate": _TLS,
    "force_ipv4": "both families are tried",
    "max_budget": _LIMITS,
    "budget_duration": _LIMITS,
    "max_internal_user_budget": _LIMITS,
    "max_user_budget": _LIMITS,
    "max_parallel_requests": _LIMITS,
    "default_max_internal_user_budget": _LIMITS,
    "upperbound_key_generate_params": _ENTRY,
    "default_key_generate_params": _ENTRY,
    "default_internal_user_params": _SSO,
    "key_generation_settings": _ENTRY,
    "default_team_settings": "make the teams by hand: penstock teams create",
    "default_team_params": "make the teams by hand: penstock teams create",
    "guardrails": _GUARD,
    "mcp_aliases": _MCP,
    "telemetry": "nothing is reported to anybody",
    "custom_provider_map": "a provider written in Python for LiteLLM runs nowhere else",
    "store_audit_logs": "every administrative change is recorded anyway",
    "public_model_groups": "a key sees the models that it may use",
    "tag_budget_config": _LIMITS,
    "json_logs": "write log: {format: json}",
    "api_key": "write api_key for each provider",
    "api_base": "write base_url for each provider",
    "organization": "write openai-organization under headers of each provider",
}

ROUTER_SETTINGS: dict[str, str] = {
    "routing_strategy": "targets are drawn at random by their weights; there is no other way in this release",
    "routing_strategy_args": "targets are drawn at random by their weights; there is no other way in this release",
    "routing_groups": "targets are drawn at random by their weights; there is no other way in this release",
    "stream_timeout": (
        "first_token holds for unstreamed answers too; write a shorter one yourself if that is right for you"
    ),
    "retry_policy": "what may be retried is fixed; see max_attempts",
    "model_group_retry_policy": "what may be retried is fixed; see max_attempts",
    "retry_after": "the next target is tried at once",
    "max_fallbacks": "max_attempts counts targets and fallbacks together",
    "allowed_fails": _COOLDOWN,
    "allowed_fails_policy": _COOLDOWN,
    "cooldown_time": _COOLDOWN,
    "disable_cooldowns": _COOLDOWN,
    "context_window_fallbacks": _ONLY_FAILURES,
    "content_policy_fallbacks": _ONLY_FAILURES,
    "enable_pre_call_checks": "requests are not measured before they are sent",
    "optional_pre_call_checks": "requests are not measured before they are sent",
    "enable_tag_filtering": "targets are not chosen by the tags of a request",
    "tag_filtering_match_any": "targets are not chosen by the tags of a request",
    "default_litellm_params": "Penstock sends what the client wrote, so let the client write it",
    "provider_budget_config": _LIMITS,
    "default_max_parallel_requests": _LIMITS,
    "cache_responses": _CACHE,
    "caching_groups": _CACHE,
    "cache_kwargs": _CACHE,
    "redis_host": _REDIS,
    "redis_port": _REDIS,
    "redis_password": _REDIS,
    "redis_url": _REDIS,
    "redis_db": _REDIS,
    "set_verbose": "write log: {level: debug} if you want more lines",
    "debug_level": "write log: {level: debug} if you want more lines",
    "alerting_config": _ALERTS,
    "ignore_invalid_deployments": "a configuration is right in every point, or it is refused whole",
}

GENERAL_SETTINGS: dict[str, str] = {
    "master_key": (
        "the admin token is in data_dir/admin.token, made at the first start. Clients that use the master key need a "
        "key: "
        "`printenv LITELLM_MASTER_KEY | penstock keys create --name master --secret-stdin` keeps the one they have"
    ),
    "database_url": (
        'keys are kept in SQLite unless you write `store: "${env:DATABASE_URL}"` with an address such as '
        "postgresql://user@host/penstock; give Penstock a database of its own, not LiteLLM's"
    ),
    "database_type": "SQLite and PostgreSQL are the stores there are",
    "database_connection_pool_limit": "write pool under store, when you use PostgreSQL",
    "database_connection_timeout": "is fixed",
    "store_model_in_db": "models that are in LiteLLM's database are not in this file: write them here by hand",
    "supported_db_objects": "models that are in LiteLLM's database are not in this file: write them here by hand",
    "store_prompts_in_spend_logs": (
        "write audit: {content: {prompts: true, answers: true}} if prompts and answers are to be recorded, and under "
        "redact what must not be"
    ),
    "disable_spend_logs": _RECORDED,
    "disable_spend_updates": _RECORDED,
    "maximum_spend_logs_retention_period": (
        "write audit: {retain: 30d}, or however long records are to stay; the default is 90d"
    ),
    "maximum_spend_logs_retention_interval": "is fixed: records older than audit.retain go without being asked for",
    "proxy_batch_write_at": "is fixed",
    "allow_requests_on_db_unavailable": "keys that were verified once go on working without the store; others never",
    "user_api_key_cache_ttl": "a change of a key is in force everywhere within a second",
    "max_parallel_requests": _LIMITS,
    "global_max_parallel_requests": _LIMITS,
    "max_response_size_mb": "answers flow through and have no limit",
    "alerting": _ALERTS,
    "alerting_args": _ALERTS,
    "alerting_threshold": _ALERTS,
    "alert_types": _ALERTS,
    "alert_to_webhook_url": _ALERTS,
    "spend_report_frequency": _ALERTS,
    "background_health_checks": _HEALTH,
    "health_check_interval": _HEALTH,
    "health_check_details": _HEALTH,
    "custom_auth": "a check written in Python for LiteLLM runs nowhere else",
    "custom_sso": _SSO,
    "enable_jwt_auth": _SSO,
    "litellm_jwtauth": _SSO,
    "enable_oauth2_auth": _SSO,
    "enable_oauth2_proxy_auth": _SSO,
    "oauth2_config_mappings": _SSO,
    "ui_access_mode": "there is no user interface",
    "key_management_system": "secrets come from the environment and from files: ${env:NAME}, ${file:/path}",
    "key_management_settings": "secrets come from the environment and from files: ${env:NAME}, ${file:/path}",
    "use_azure_key_vault": "secrets come from the environment and from files: ${env:NAME}, ${file:/path}",
    "use_google_kms": "secrets come from the environment and from files: ${env:NAME}, ${file:/path}",
    "litellm_key_header_name": "a key comes as x-penstock-key, Authorization: Bearer, x-api-key or api-key",
    "use_x_forwarded_for": (
        "name the networks of your proxies in trusted_proxies; X-Forwarded-For of others is not believed"
    ),
    "allowed_ips": "networks are allowed key by key; write them into the keys",
    "allowed_routes": "paths are allowed key by key; write them into the keys",
    "public_routes": "only /health answers without a key",
    "admin_only_routes": "administration is on a port of its own: admin.listen",
    "pass_through_endpoints": "see passthrough of a provider; other addresses are not passed to",
    "use_client_credentials_pass_through_routes": "see credentials: client of a provider",
    "allow_client_side_credentials": "see credentials: client of a provider",
    "forward_client_headers_to_llm_api": "name the headers in forward_headers of each provider",
    "forward_openai_org_id": "write openai-organization under headers of the provider",
    "completion_model": "a request names its model",
    "image_generation_model": "a request names its model",
    "embedding_model": "a request names its model",
    "moderation_model": "a request names its model",
    "infer_model_from_keys": "models and providers are those of the file",
    "enforce_user_param": "fields of a request are not demanded",
    "enforced_params": "fields of a request are not demanded",
    "reject_clientside_metadata_tags": "tags of a request mean nothing here",
    "service_account_settings": "fields of a request are not demanded",
    "custom_key_generate": _ENTRY,
    "litellm_license": "there is nothing to license",
}
