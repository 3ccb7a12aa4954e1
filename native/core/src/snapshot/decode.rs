//! From the JSON document to a [`Snapshot`]: off the request threads, all or nothing.

use std::sync::Arc;

use super::{Base, Limits, Prices, Provider, Snapshot, document, document::Document, secret, secrets::secrets};
use crate::{
    content,
    dialects::Dialect,
    http::write::HeadWriter,
    json::shape_error,
    observe,
    request::client_address::Networks,
    route::{Model, Routes, Target},
    upstream::{Network, Origin, Proxy},
};

impl Snapshot {
    /// Decodes a document; the error names the field and never holds a secret.
    pub fn decode(json: &[u8], network: &Arc<Network>) -> Result<Self, String> {
        let document: Document = serde_json::from_slice(json).map_err(|e| shape_error("snapshot", &e))?;
        if document.format != document::FORMAT {
            return Err(format!("snapshot: format {} is not {}", document.format, document::FORMAT));
        }
        Network::check_tls(document.tls.ca_file.as_deref())?;
        let providers = document.providers.iter().map(|p| provider(p, network)).collect::<Result<Vec<_>, _>>()?;
        for (i, provider) in document.providers.iter().enumerate() {
            if document.providers[..i].iter().any(|p| p.name == provider.name) {
                return Err(format!("snapshot: provider {} stands twice", provider.name));
            }
        }
        for (i, model) in document.models.iter().enumerate() {
            if document.models[..i].iter().any(|m| m.name == model.name) {
                return Err(format!("snapshot: model {} stands twice", model.name));
            }
        }
        let index = |name: &str| {
            providers.iter().position(|p| p.name == name).ok_or_else(|| format!("snapshot: provider {name} is unknown"))
        };
        let target = |t: &document::Target| {
            Ok::<_, String>(Target { provider: index(&t.provider)?, model: t.model.clone(), weight: t.weight })
        };
        let mut routes = Routes::default();
        for model in &document.models {
            routes.add(Model {
                name: model.name.clone(),
                targets: model.targets.iter().map(target).collect::<Result<_, _>>()?,
                fallback: model.fallback.iter().map(target).collect::<Result<_, _>>()?,
                timeouts: model.timeouts.unwrap_or_default(),
                max_output_tokens: model.max_output_tokens,
            });
        }
        for pattern in &document.patterns {
            routes.add_pattern(&pattern.pattern, index(&pattern.provider)?);
        }
        Ok(Self {
            revision: document.revision,
            auth: document.auth,
            trusted_proxies: Networks::parse(&document.trusted_proxies)?,
            allowed_hosts: document.allowed_hosts,
            timeouts: document.timeouts,
            max_attempts: document.max_attempts.max(1),
            keepalive_ms: document.keepalive_ms,
            max_body_bytes: document.body.max_bytes,
            max_inflight_bytes: document.body.max_inflight_bytes,
            log: document.log,
            ca_file: document.tls.ca_file,
            default_provider: document.default_provider.as_deref().map(index).transpose()?,
            limits: Limits::new(document.limits, providers.len(), index)?,
            content: document.content.map(|c| self::content(c, &document.providers)).transpose()?,
            prices: Prices::new(document.prices)?,
            routes,
            providers,
        })
    }
}

fn content(content: document::Content, providers: &[document::Provider]) -> Result<content::Policy, String> {
    let document::Content { prompts, answers, max_bytes, redact } = content;
    let redaction = content::Redaction::new(&redact, secrets(providers)?);
    let redaction = redaction.map_err(|e| format!("audit.content.{e}"))?;
    Ok(content::Policy { prompts, answers, max_bytes, redaction })
}

fn provider(p: &document::Provider, network: &Arc<Network>) -> Result<Provider, String> {
    let mut bases = [None, None, None];
    for (name, base) in &p.dialects {
        let dialect =
            Dialect::parse(name).ok_or_else(|| format!("snapshot: provider {}: dialect {name} is unknown", p.name))?;
        bases[dialect as usize] = Some(self::base(p, base, network).map_err(|e| format!("provider {}: {e}", p.name))?);
    }
    let query = secret::resolve(&p.query).map_err(|e| format!("provider {}: {e}", p.name))?;
    one_word("the query", &query)?;
    if query.contains('#') || query.starts_with(['?', '&']) {
        return Err(format!("provider {}: the query is name=value, joined by &, without the question mark", p.name));
    }
    Ok(Provider {
        name: p.name.clone(),
        kind: p.kind.clone(),
        metric: observe::Provider { name: p.name.as_str().into(), number: 0 },
        bases,
        query,
        forward_headers: p.forward_headers.iter().map(|h| h.to_ascii_lowercase()).collect(),
        supports_stream_usage: p.supports_stream_usage,
        supports_count_tokens: p.supports_count_tokens,
        passthrough: p.passthrough.clone(),
        lists_models: p.lists_models,
        client_credentials: p.client_credentials,
        timeouts: p.timeouts,
        free: p.free,
    })
}

fn base(p: &document::Provider, base: &document::Base, network: &Arc<Network>) -> Result<Base, String> {
    let tls = match base.scheme.as_str() {
        "https" => true,
        "http" => false,
        other => return Err(format!("scheme {other} is neither http nor https")),
    };
    one_word("the path", &base.path)?;
    let proxy = p.proxy.as_ref().map(proxy).transpose()?;
    let origin = Origin { tls, host: base.host.clone(), port: base.port, proxy };
    let host = network.host(&origin);
    let target_prefix = format!("{}{}", host.request_prefix(), base.path);
    let mut head = Vec::new();
    let mut lines = HeadWriter::new(&mut head);
    let mut names = Vec::new();
    let mut line = |name: &str, value: String| {
        names.push(name.to_ascii_lowercase());
        lines.field(name, value).map_err(|_| format!("the header {name} or its value is not one line"))
    };
    line("host", host.authority().to_owned())?;
    if let Some(auth) = &base.auth {
        line(&auth.header, format!("{}{}", auth.prefix, secret::resolve(&auth.secret)?))?;
    }
    for (name, parts) in &p.headers {
        line(name, secret::resolve(parts)?)?;
    }
    if let Some(authorization) = host.proxy_authorization() {
        line("proxy-authorization", authorization.to_owned())?;
    }
    Ok(Base { origin, host, target_prefix, head, names, max_connections: p.max_connections })
}

/// Refuses what would not be one word of a request line.
fn one_word(what: &str, text: &str) -> Result<(), String> {
    let fits = text.bytes().all(|b| b.is_ascii_graphic());
    if fits { Ok(()) } else { Err(format!("{what} has a character that no request line may carry")) }
}

fn proxy(p: &document::Proxy) -> Result<Proxy, String> {
    if !matches!(p.scheme.as_str(), "http" | "https") {
        return Err(format!("the proxy's scheme {} is neither http nor https", p.scheme));
    }
    Ok(Proxy {
        tls: p.scheme == "https",
        host: p.host.clone(),
        port: p.port,
        authorization: p.authorization.as_deref().map(secret::resolve).transpose()?,
    })
}
