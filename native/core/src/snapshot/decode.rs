//! From the JSON document to a [`Snapshot`]: off the request threads, all or nothing.

use std::{fmt::Write as _, sync::Arc};

use super::{Base, Provider, Snapshot, document, document::Document, secret};
use crate::{
    dialects::Dialect,
    request::client_address::Networks,
    route::{Routes, Target},
    upstream::{Network, Origin, Proxy},
};

impl Snapshot {
    /// Decodes a document; the error names the field and never holds a secret.
    pub fn decode(json: &[u8], network: &Arc<Network>) -> Result<Self, String> {
        let document: Document = serde_json::from_slice(json).map_err(|e| format!("snapshot: {e}"))?;
        if document.format != document::FORMAT {
            return Err(format!("snapshot: format {} is not {}", document.format, document::FORMAT));
        }
        network.check_tls(document.tls.ca_file.as_deref())?;
        let providers =
            document.providers.iter().map(|p| provider(p, network)).collect::<Result<Vec<_>, _>>()?;
        let index = |name: &str| {
            providers.iter().position(|p| p.name == name).ok_or_else(|| format!("snapshot: provider {name} is unknown"))
        };
        let target = |t: &document::Target| {
            Ok::<_, String>(Target { provider: index(&t.provider)?, model: t.model.clone(), weight: t.weight })
        };
        let mut routes = Routes::default();
        for model in &document.models {
            routes.add(
                &model.name,
                model.targets.iter().map(target).collect::<Result<_, _>>()?,
                model.fallback.iter().map(target).collect::<Result<_, _>>()?,
                model.timeouts,
            );
        }
        for pattern in &document.patterns {
            routes.add_pattern(&pattern.pattern, index(&pattern.provider)?);
        }
        Ok(Self {
            revision: document.revision,
            trusted_proxies: Networks::parse(&document.trusted_proxies)?,
            allowed_hosts: document.allowed_hosts,
            timeouts: document.timeouts,
            max_attempts: document.max_attempts.max(1),
            keepalive_ms: document.keepalive_ms,
            max_body_bytes: document.body.max_bytes,
            max_inflight_bytes: document.body.max_inflight_bytes,
            log: document.log,
            default_provider: document.default_provider.as_deref().map(index).transpose()?,
            routes,
            providers,
        })
    }
}

fn provider(p: &document::Provider, network: &Arc<Network>) -> Result<Provider, String> {
    let mut bases = [None, None, None];
    for (name, base) in &p.dialects {
        let dialect =
            Dialect::parse(name).ok_or_else(|| format!("snapshot: provider {}: dialect {name} is unknown", p.name))?;
        bases[dialect as usize] = Some(self::base(p, base, network).map_err(|e| format!("provider {}: {e}", p.name))?);
    }
    Ok(Provider {
        name: p.name.clone(),
        bases,
        query: p.query.clone(),
        forward_headers: p.forward_headers.iter().map(|h| h.to_ascii_lowercase()).collect(),
        supports_stream_usage: p.supports_stream_usage,
        passthrough: p.passthrough.clone(),
        lists_models: p.lists_models,
        timeouts: p.timeouts,
    })
}

fn base(p: &document::Provider, base: &document::Base, network: &Arc<Network>) -> Result<Base, String> {
    let tls = match base.scheme.as_str() {
        "https" => true,
        "http" => false,
        other => return Err(format!("scheme {other} is neither http nor https")),
    };
    let proxy = p.proxy.as_ref().map(proxy).transpose()?;
    let authority = authority(&base.host, base.port, tls);
    let target_prefix = match &proxy {
        Some(_) if !tls => format!("http://{authority}{}", base.path),
        _ => base.path.clone(),
    };
    let mut head = String::new();
    let _ = write!(head, "host: {authority}\r\n");
    if let Some(auth) = &base.auth {
        let _ = write!(head, "{}: {}{}\r\n", auth.header, auth.prefix, secret::resolve(&auth.secret)?);
    }
    for (name, parts) in &p.headers {
        let _ = write!(head, "{}: {}\r\n", name, secret::resolve(parts)?);
    }
    if let Some(authorization) = proxy.as_ref().and_then(|p| p.authorization.as_ref()).filter(|_| !tls) {
        let _ = write!(head, "proxy-authorization: {authorization}\r\n");
    }
    let origin = Origin { tls, host: base.host.clone(), port: base.port, proxy };
    let host = network.host(&origin, p.max_connections);
    Ok(Base { origin, host, target_prefix, head: head.into_bytes() })
}

fn proxy(p: &document::Proxy) -> Result<Proxy, String> {
    Ok(Proxy {
        tls: p.scheme == "https",
        host: p.host.clone(),
        port: p.port,
        authorization: p.authorization.as_deref().map(secret::resolve).transpose()?,
    })
}

fn authority(host: &str, port: u16, tls: bool) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    if port == if tls { 443 } else { 80 } { host } else { format!("{host}:{port}") }
}
