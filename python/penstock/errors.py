"""Every error that Penstock itself makes: one stable code each, with its status and what to do about it.

The same table stands in native/core/src/error.rs; a test compares the two.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One code, as sent in `x-penstock-error`."""

    code: str
    status: int
    meaning: str
    remedy: str


_RETRY = "try again later; Penstock tried every target it may"

TABLE = (
    Row(
        "invalid_http", 400, "the request breaks HTTP/1.1", "send what RFC 9112 allows; look for a broken proxy between"
    ),
    Row("invalid_json", 400, "the body is not JSON", "mend it at the byte that the message names"),
    Row("invalid_request", 400, "a field has the wrong type or is missing", "mend the field that the message names"),
    Row("duplicate_field", 400, "a field stands twice at the top of the body", "send it once"),
    Row("unsupported_field", 400, "a field that some providers take for another", "spell it as the message says"),
    Row(
        "dialect_not_supported", 400, "no target of the model speaks the caller's dialect", "use the other SDK or model"
    ),
    Row(
        "request_exceeds_limit",
        400,
        "the request alone is larger than a limit",
        "ask for less: max_tokens, a shorter prompt",
    ),
    Row("missing_api_key", 401, "no key was sent", "send one as Authorization: Bearer"),
    Row("invalid_api_key", 401, "the key is not known", "check for a cut or stale key"),
    Row("key_disabled", 401, "the key or its team is disabled", "ask whoever issued the key"),
    Row("key_expired", 401, "the key's time is over", "ask whoever issued the key for another"),
    Row("model_not_allowed", 403, "the key or its team may not use this model", "GET /v1/models lists what it may"),
    Row("network_not_allowed", 403, "the key may not be used from this address", "ask whoever issued the key"),
    Row("origin_not_allowed", 403, "a web page elsewhere sent this", "call from your own server"),
    Row(
        "path_closed", 403, "the path names objects that callers would share", "open it with the provider's passthrough"
    ),
    Row("model_unpriced", 403, "money is limited and no target of the model has a price", "add it to prices"),
    Row("model_not_found", 404, "no model or provider serves this name", "use one of the names the message offers"),
    Row("path_not_found", 404, "nothing is served there", "check base_url: it ends in /v1 for OpenAI's SDK"),
    Row("method_not_allowed", 405, "the path takes another method", "use one that the answer's allow header names"),
    Row(
        "request_timeout", 408, "the request did not arrive in time", "send it faster, or raise timeouts.body_read_idle"
    ),
    Row("body_too_large", 413, "the body is over body.max_bytes", "send less, or raise the bound"),
    Row("unsupported_encoding", 415, "the body is compressed", "send it without content-encoding"),
    Row("host_not_allowed", 421, "the Host header names another machine", "call by a name that Penstock listens on"),
    Row("rate_limit_requests", 429, "a limit of requests is reached", "wait as long as retry-after says"),
    Row("rate_limit_tokens", 429, "a limit of tokens is reached", "wait as long as retry-after says"),
    Row("rate_limit_concurrent", 429, "too many requests at the same time", "wait as long as retry-after says"),
    Row("budget_exceeded", 429, "the money of this time is spent", "ask for more, or wait for the next day or month"),
    Row("headers_too_large", 431, "the head is over the bound", "send fewer or shorter headers"),
    Row("internal", 500, "Penstock failed", "report it with the request id"),
    Row("upstream_dns", 502, "the provider's name does not resolve", "check base_url and the resolver"),
    Row("upstream_connect", 502, "the provider cannot be reached", "check base_url, firewall and proxy variables"),
    Row("upstream_tls", 502, "no trusted connection to the provider", "check the clock, base_url and tls.ca_file"),
    Row("upstream_auth", 502, "the provider refused Penstock's key", "check the provider's api_key"),
    Row("upstream_error", 502, "the provider answered with an error", _RETRY),
    Row("upstream_protocol", 502, "the provider's answer breaks its protocol", _RETRY),
    Row("upstream_cut", 502, "the provider's answer ended early", _RETRY),
    Row("overloaded", 503, "a bound of Penstock is reached", "wait as long as retry-after says"),
    Row("store_unavailable", 503, "the key cannot be checked now", "wait as long as retry-after says"),
    Row("journal_full", 503, "no room to record the request, and journal.when_full is shed", "make room on the disk"),
    Row("shutting_down", 503, "the process stops, and cut the request short", "try again: another one should answer"),
    Row("upstream_timeout", 504, "the provider fell silent or took too long", "raise timeouts.between_bytes or total"),
    Row("first_token_timeout", 504, "the provider did not begin to answer in time", "raise timeouts.first_token"),
)

ADMIN_TABLE = (
    Row("forbidden", 403, "the token's role may only read", "use a token with the role admin"),
    Row("not_found", 404, "no key, team or token has this id", "list what there is"),
    Row("conflict", 409, "someone else changed it, or its name is taken", "read it again, then decide"),
    Row("unsupported_media_type", 415, "the body is not said to be JSON", "send content-type: application/json"),
    Row(
        "invalid_configuration", 422, "a reload was refused whole", "mend what the answer lists; the old one serves on"
    ),
)
"""Codes of the admin API alone; native never makes them."""
