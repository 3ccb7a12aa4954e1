//! The JSON document that Python compiles: field for field what `policy/snapshot.py` writes, nothing more.

use std::collections::HashMap;

use serde::Deserialize;

use super::{Factors, Rates, Step};
use crate::{limits::Policy, observe::LogOptions};

/// The shape that this build reads; a document of another shape is refused.
pub const FORMAT: u32 = 1;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    pub format: u32,
    pub revision: u64,
    pub auth: Auth,
    pub trusted_proxies: Vec<String>,
    pub allowed_hosts: Vec<String>,
    pub timeouts: Timeouts,
    pub max_attempts: usize,
    pub keepalive_ms: u64,
    pub body: Body,
    pub log: LogOptions,
    pub tls: Tls,
    pub providers: Vec<Provider>,
    pub models: Vec<Model>,
    pub patterns: Vec<Pattern>,
    pub default_provider: Option<String>,
    pub limits: Limits,
    pub prices: Vec<Price>,
    pub content: Option<Content>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Everybody who reaches the port.
    Open,
    /// Whoever has a key.
    Keys,
}

/// Milliseconds; 0 means no limit.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_field_names, reason = "units stand in names")]
pub struct Timeouts {
    pub connect_ms: u64,
    pub first_token_ms: u64,
    pub between_bytes_ms: u64,
    pub total_ms: u64,
    pub header_read_ms: u64,
    pub body_read_idle_ms: u64,
    pub client_idle_ms: u64,
}

/// A model's own limits in milliseconds, 0 meaning none; `None` leaves the provider's.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_field_names, reason = "units stand in names")]
pub struct Overrides {
    pub connect_ms: Option<u64>,
    pub first_token_ms: Option<u64>,
    pub between_bytes_ms: Option<u64>,
    pub total_ms: Option<u64>,
}

impl Timeouts {
    /// These limits with a model's own laid over them.
    #[must_use]
    pub fn with(self, own: Overrides) -> Self {
        Self {
            connect_ms: own.connect_ms.unwrap_or(self.connect_ms),
            first_token_ms: own.first_token_ms.unwrap_or(self.first_token_ms),
            between_bytes_ms: own.between_bytes_ms.unwrap_or(self.between_bytes_ms),
            total_ms: own.total_ms.unwrap_or(self.total_ms),
            ..self
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    pub max_bytes: usize,
    pub max_inflight_bytes: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    pub ca_file: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub struct Provider {
    pub name: String,
    pub kind: Option<String>,
    pub dialects: HashMap<String, Base>,
    pub headers: Vec<(String, Vec<Part>)>,
    pub query: Vec<Part>,
    pub forward_headers: Vec<String>,
    pub supports_stream_usage: bool,
    pub supports_count_tokens: bool,
    pub passthrough: Vec<String>,
    pub lists_models: bool,
    pub timeouts: Timeouts,
    pub max_connections: usize,
    /// The client's own credential goes upstream instead of one of the configuration.
    pub client_credentials: bool,
    pub proxy: Option<Proxy>,
    /// It takes no money.
    pub free: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    pub scheme: String,
    pub host: String,
    pub port: u16,
    pub path: String,
    pub auth: Option<Credential>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    pub header: String,
    pub prefix: String,
    pub secret: Vec<Part>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    pub scheme: String,
    pub host: String,
    pub port: u16,
    pub authorization: Option<Vec<Part>>,
}

/// One piece of a value that may hold a secret; `Debug` shows none of it.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Part {
    Text { text: String },
    Env { env: String, default: Option<String> },
    File { file: String },
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text { .. } => f.write_str("Text(…)"),
            Self::Env { env, .. } => write!(f, "Env({env})"),
            Self::File { file } => write!(f, "File({file})"),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub name: String,
    pub targets: Vec<Target>,
    pub fallback: Vec<Target>,
    pub timeouts: Option<Overrides>,
    pub max_output_tokens: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    pub provider: String,
    pub model: Option<String>,
    pub weight: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    pub pattern: String,
    pub provider: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub default: Option<Policy>,
    pub global: Option<Policy>,
    pub models: HashMap<String, Policy>,
    pub providers: HashMap<String, Policy>,
    pub unpriced: Unpriced,
    pub zone: String,
}

/// Which texts of requests are recorded, and what is replaced in them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    pub prompts: bool,
    pub answers: bool,
    pub max_bytes: usize,
    pub redact: Vec<String>,
}

/// What becomes of a model without a price while money is limited.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Unpriced {
    Refuse,
    Allow,
}

/// The price of every model that fits the pattern, at all providers or those of a kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    pub kind: Option<String>,
    pub pattern: String,
    pub rates: Rates,
    pub above: Vec<Step>,
    pub factors: Factors,
}
