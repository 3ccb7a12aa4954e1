//! Who asks: with `auth: open` everybody who reaches the port, as long as no foreign web page sent them.

use crate::{
    error::{Code, Error},
    snapshot::Snapshot,
};

/// Who a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Anybody (`auth: open`).
    Open,
}

/// Checks `Host` and `Origin`, so that a page that a browser on this machine shows cannot use the gateway through a
/// name of its own (DNS rebinding) or by a cross-site request.
pub fn authenticate(snapshot: &Snapshot, host: Option<&[u8]>, origin: Option<&[u8]>) -> Result<Principal, Error> {
    let allowed = |authority: &[u8]| {
        snapshot.allowed_hosts.is_empty()
            || name(authority).is_some_and(|n| snapshot.allowed_hosts.iter().any(|a| a.eq_ignore_ascii_case(n)))
    };
    if host.is_some_and(|h| !allowed(h)) {
        let message = "With `auth: open` only the gateway's own names are served; this Host is another.";
        return Err(Error::new(Code::HostNotAllowed, message));
    }
    // Another port of this machine is another origin: whatever serves there is not us.
    let foreign = |origin: &[u8]| {
        let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
        !authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
    };
    if origin.is_some_and(foreign) {
        let message = "With `auth: open` no web page of another origin may send requests.";
        return Err(Error::new(Code::OriginNotAllowed, message));
    }
    Ok(Principal::Open)
}

/// The name in `name`, `name:port` or `[v6]:port`.
fn name(authority: &[u8]) -> Option<&str> {
    let authority = std::str::from_utf8(authority).ok()?;
    if let Some(rest) = authority.strip_prefix('[') {
        let (name, port) = rest.split_once(']')?;
        return (port.is_empty() || is_port(port.strip_prefix(':')?)).then_some(name);
    }
    match authority.split_once(':') {
        None => Some(authority),
        Some((name, port)) => is_port(port).then_some(name),
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}
