//! Where a connection goes: scheme, host, port and the proxy in between, compared by value.

use std::{fmt, net::IpAddr};

/// One place that connections are made to. Equal origins share a pool, also across reloads.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Origin {
    pub tls: bool,
    /// A name or an address; an IPv6 address with or without its brackets.
    pub host: String,
    pub port: u16,
    pub proxy: Option<Proxy>,
}

/// An HTTP proxy on the way to an origin.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Proxy {
    /// TLS to the proxy itself.
    pub tls: bool,
    pub host: String,
    pub port: u16,
    /// The value of `Proxy-Authorization`: a secret.
    pub authorization: Option<String>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("tls", &self.tls)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("authorization", &self.authorization.as_ref().map(|_| "(hidden)"))
            .finish()
    }
}

impl Origin {
    /// The value of `Host` (RFC 9110 §7.2): the port only when it is not the scheme's own, IPv6 in brackets.
    pub fn authority(&self) -> String {
        if self.port == if self.tls { 443 } else { 80 } {
            bracketed(&self.host)
        } else {
            host_port(&self.host, self.port)
        }
    }

    /// True when requests go to a proxy in absolute form (RFC 9112 §3.2.2), as there is no tunnel.
    pub fn via_proxy(&self) -> bool {
        !self.tls && self.proxy.is_some()
    }

    /// Who the TCP connection is made to: the proxy where there is one.
    pub(super) fn peer(&self) -> (&str, u16) {
        match &self.proxy {
            Some(proxy) => (bare(&proxy.host), proxy.port),
            None => (bare(&self.host), self.port),
        }
    }

    pub(super) fn uses_tls(&self) -> bool {
        self.tls || self.proxy.as_ref().is_some_and(|proxy| proxy.tls)
    }
}

/// `host:port`, IPv6 in brackets.
pub(super) fn host_port(host: &str, port: u16) -> String {
    format!("{}:{port}", bracketed(host))
}

/// The host without the brackets of an IPv6 literal.
pub(super) fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

fn bracketed(host: &str) -> String {
    match bare(host).parse() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => host.to_owned(),
    }
}
