//! Snapshot documents for tests: the smallest that decodes, and what is often changed in it.

use std::sync::Arc;

use penstock_core::{
    clock::Clock,
    snapshot::Snapshot,
    upstream::{Network, NetworkOptions},
};
use serde_json::{Value, json};

/// Every field, no provider.
pub(crate) fn minimal() -> Value {
    json!({
        "format": 1,
        "revision": 7,
        "auth": "open",
        "trusted_proxies": [],
        "allowed_hosts": [],
        "timeouts": timeouts(),
        "max_attempts": 4,
        "keepalive_ms": 15_000,
        "body": {"max_bytes": 1_048_576, "max_inflight_bytes": 16_777_216},
        "log": {"level": "error", "format": "json"},
        "tls": {"ca_file": null},
        "providers": [],
        "models": [],
        "patterns": [],
        "default_provider": null,
        "limits": {
            "default": null, "global": null, "models": {}, "providers": {}, "unpriced": "refuse", "zone": "UTC",
        },
        "prices": [],
        "content": null,
    })
}

pub(crate) fn timeouts() -> Value {
    json!({
        "connect_ms": 5_000, "first_token_ms": 60_000, "between_bytes_ms": 60_000, "total_ms": 0,
        "header_read_ms": 10_000, "body_read_idle_ms": 10_000, "client_idle_ms": 60_000,
    })
}

/// A provider of the `OpenAI` dialect on loopback.
pub(crate) fn provider(name: &str, port: u16) -> Value {
    json!({
        "name": name,
        "kind": null,
        "dialects": {"openai": {"scheme": "http", "host": "127.0.0.1", "port": port, "path": "/v1", "auth": null}},
        "headers": [],
        "query": [],
        "forward_headers": [],
        "supports_stream_usage": true,
        "supports_count_tokens": true,
        "passthrough": [],
        "lists_models": false,
        "timeouts": timeouts(),
        "max_connections": 1024,
        "client_credentials": false,
        "proxy": null,
        "free": false,
    })
}

/// A model with one target.
pub(crate) fn model(name: &str, provider: &str, upstream: Option<&str>) -> Value {
    json!({
        "name": name, "fallback": [], "timeouts": null, "max_output_tokens": null,
        "targets": [{"provider": provider, "model": upstream, "weight": 1}],
    })
}

/// A price by prompt and answer alone, nano-dollars per million tokens; `kind`: of a provider's list.
pub(crate) fn price(kind: Option<&str>, pattern: &str, input: u64, output: u64) -> Value {
    let whole = 1_000_000_000;
    json!({
        "kind": kind, "pattern": pattern, "above": [],
        "rates": [input, input, input, input, input, input, output, output, output, output, 0, 0],
        "factors": {"batch": whole / 2, "flex": whole, "priority": whole, "ultrafast": whole, "fast": null},
    })
}

pub(crate) fn bytes(document: &Value) -> Vec<u8> {
    serde_json::to_vec(document).unwrap()
}

pub(crate) fn network() -> Arc<Network> {
    Network::new(NetworkOptions::default(), Clock::default())
}

pub(crate) fn decode(document: &Value) -> Result<Snapshot, String> {
    Snapshot::decode(&bytes(document), &network())
}
