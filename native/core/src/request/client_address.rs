//! Who is asking, by network address: the peer, or whom trusted proxies say it is.

use std::net::IpAddr;

/// A list of networks in CIDR notation.
#[derive(Debug, Default)]
pub struct Networks(Vec<(u128, u32)>);

impl Networks {
    /// Parses `10.0.0.0/8`, `::1/128` or plain addresses.
    pub fn parse(texts: &[String]) -> Result<Self, String> {
        let parse = |text: &String| {
            let (address, bits) = text.split_once('/').unwrap_or((text, ""));
            let address: IpAddr = address.parse().map_err(|_| format!("{text} is not a network"))?;
            let width = if address.is_ipv4() { 32 } else { 128 };
            let bits: u32 =
                if bits.is_empty() { width } else { bits.parse().map_err(|_| format!("{text} is not a network"))? };
            if bits > width {
                return Err(format!("{text}: a prefix has at most {width} bits"));
            }
            Ok((number(address), bits + 128 - width))
        };
        texts.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether one of the networks holds `address`.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = number(address);
        self.0.iter().any(|(network, bits)| *bits == 0 || (network ^ address) >> (128 - bits) == 0)
    }
}

/// IPv4 as its IPv6 mapping, so that both compare alike.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

/// The client's address: `peer`, or the rightmost entry of `X-Forwarded-For` that is no trusted proxy.
/// `forwarded` holds the header's values in the order they came; a Unix socket's peer counts as trusted.
pub fn client_address<'a>(
    peer: Option<IpAddr>,
    forwarded: impl DoubleEndedIterator<Item = &'a [u8]>,
    trusted: &Networks,
) -> Option<IpAddr> {
    let mut address = peer;
    if trusted.0.is_empty() || peer.is_some_and(|p| !trusted.contains(p)) {
        return address;
    }
    for value in forwarded.rev() {
        // Empty elements of a list are skipped (RFC 9110 §5.6.1).
        for entry in value.rsplit(|b| *b == b',').filter(|e| !e.trim_ascii().is_empty()) {
            let Some(entry) = std::str::from_utf8(entry).ok().and_then(|e| parse_entry(e.trim())) else {
                return address;
            };
            address = Some(entry);
            if !trusted.contains(entry) {
                return address;
            }
        }
    }
    address
}

/// An address with or without brackets and port.
fn parse_entry(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|e| e.strip_suffix(']')).unwrap_or(entry);
    let address: Option<IpAddr> = bare.parse().ok();
    let address = address.or_else(|| entry.parse::<std::net::SocketAddr>().ok().map(|a| a.ip()));
    address.map(|a| a.to_canonical())
}
