//! What Python compiled for native, decoded and made ready for use.

mod decode;
pub mod document;
mod limits;
mod price;
mod prices;
mod secret;
mod secrets;

use std::sync::Arc;

use crate::{
    content,
    dialects::Dialect,
    observe::{self, LogOptions},
    request::{client_address::Networks, endpoint::is_organization},
    route::Routes,
    upstream::{Host, Network, Origin},
};

pub use document::{Auth, Overrides, Timeouts};
pub use limits::Limits;
pub use price::{Factors, Price, Rates, Step, WHOLE};
pub use prices::{Cost, PriceId, Prices};

/// Everything a request needs to know; a request keeps the one it started with.
#[derive(Debug)]
pub struct Snapshot {
    pub revision: u64,
    pub auth: Auth,
    pub trusted_proxies: Networks,
    /// Lower-case names without ports that `Host` and `Origin` may carry while `auth: open`; empty: any.
    pub allowed_hosts: Vec<String>,
    pub timeouts: Timeouts,
    pub max_attempts: usize,
    pub keepalive_ms: u64,
    pub max_body_bytes: usize,
    pub max_inflight_bytes: usize,
    pub log: LogOptions,
    ca_file: Option<String>,
    pub providers: Vec<Provider>,
    pub routes: Routes,
    /// Index into `providers`.
    pub default_provider: Option<usize>,
    pub limits: Limits,
    pub prices: Prices,
    /// Which texts are recorded; `None`: none at all.
    pub content: Option<content::Policy>,
}

/// A provider, with one base for each dialect it speaks.
#[allow(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub struct Provider {
    pub name: String,
    /// Its entry of the catalogue.
    pub kind: Option<String>,
    /// Its place in the metrics.
    pub metric: observe::Provider,
    bases: [Option<Base>; 3],
    /// Appended to every query, without `?`. May hold a secret: never printed.
    pub query: String,
    /// Lower case.
    pub forward_headers: Vec<String>,
    pub supports_stream_usage: bool,
    /// It has Anthropic's path that counts tokens, where it speaks that dialect.
    pub supports_count_tokens: bool,
    /// Path prefixes that are relayed although they name stored objects, without `/v1`.
    pub passthrough: Vec<String>,
    pub lists_models: bool,
    /// It is asked with the credential that the client brings for it.
    pub client_credentials: bool,
    pub timeouts: Timeouts,
    /// It takes no money, whatever the prices say.
    pub free: bool,
}

/// Where and how one dialect of a provider is reached.
pub struct Base {
    pub origin: Origin,
    pub host: Arc<Host>,
    /// What stands before the path in the request line: the base path, behind `http://host` if a proxy wants that.
    pub target_prefix: String,
    /// Header lines sent with every request: host, credential, configured ones. Holds secrets: never printed.
    pub head: Vec<u8>,
    /// Lower-case names of those lines: a client's own are left out.
    pub names: Vec<String>,
    pub max_connections: usize,
}

impl Base {
    /// Whether every request carries a configured header of this name.
    pub fn sets(&self, name: &[u8]) -> bool {
        self.names.iter().any(|n| name.eq_ignore_ascii_case(n.as_bytes()))
    }
}

impl std::fmt::Debug for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Base")
            .field("origin", &self.origin)
            .field("target_prefix", &self.target_prefix)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("name", &self.name).field("bases", &self.bases).finish_non_exhaustive()
    }
}

impl Provider {
    /// Whether `passthrough` opens a path (without `/v1`).
    pub fn opens(&self, path: &str) -> bool {
        !is_organization(path)
            && self.passthrough.iter().any(|p| {
                path.strip_prefix(p.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || p.ends_with('/'))
            })
    }

    /// The base that speaks `dialect`, if the provider has one.
    pub fn base(&self, dialect: Dialect) -> Option<&Base> {
        self.bases[dialect as usize].as_ref()
    }
}

impl Snapshot {
    /// Has network and metrics follow this snapshot; called once it is known to be whole. After an error nothing has
    /// changed.
    pub fn take_effect(&mut self, network: &Network, metrics: &observe::Metrics) -> Result<(), String> {
        network.set_ca_file(self.ca_file.as_deref())?;
        for provider in &mut self.providers {
            provider.metric = metrics.provider(&provider.name);
        }
        network.retain(self.origins());
        let bases = || self.providers.iter().flat_map(|p| p.bases.iter().flatten());
        for base in bases() {
            let most = bases().filter(|b| b.origin == base.origin).map(|b| b.max_connections).max();
            base.host.set_max_connections(most.unwrap_or(base.max_connections));
        }
        Ok(())
    }

    /// Every place that requests may go to.
    pub fn origins(&self) -> impl Iterator<Item = &Origin> {
        self.providers.iter().flat_map(|p| p.bases.iter().flatten()).map(|b| &b.origin)
    }

    /// The provider of that name and its index.
    pub fn provider(&self, name: &str) -> Option<(usize, &Provider)> {
        self.providers.iter().enumerate().find(|(_, p)| p.name == name)
    }

    /// What the provider of that index takes for a model, by its own name of it.
    pub fn price(&self, provider: usize, model: &str) -> Cost {
        let provider = self.providers.get(provider);
        if provider.is_some_and(|p| p.free) {
            return Cost::Free;
        }
        self.prices.of(provider.and_then(|p| p.kind.as_deref()), model).map_or(Cost::Unknown, Cost::Priced)
    }
}
