//! Request targets and `Host` values: which forms are taken, and that both name the same place.

use super::{
    super::chars::{hex_digit, is_host, is_target},
    HeadError, Span,
};

/// Checks a target and returns the part that routes: `/path?query`, or `*` for `OPTIONS`.
///
/// Absolute form is taken only for the host that `Host` names; everything else would be an open proxy or a second
/// opinion about the host (RFC 9112, 3.2.2).
pub(super) fn check(bytes: &[u8], method: &[u8], target: Span, host: Option<Span>) -> Result<Span, HeadError> {
    let text = target.of(bytes);
    match text {
        [b'/', ..] => characters(text).map(|()| target),
        b"*" if method == b"OPTIONS" => Ok(target),
        _ => {
            characters(text)?;
            let scheme = [&b"http://"[..], b"https://"].into_iter().find(|s| starts_with(text, s));
            let Some(scheme) = scheme else {
                return Err(HeadError::Malformed("the request target is not a path"));
            };
            let rest = &text[scheme.len()..];
            let slash = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
            let (authority, path) = rest.split_at(slash);
            if path.first() != Some(&b'/') {
                return Err(HeadError::Malformed("the request target has no path"));
            }
            match host.map(|span| span.of(bytes)) {
                Some(host) if host.eq_ignore_ascii_case(authority) => {
                    Ok(Span { start: target.end - path.len() as u32, end: target.end })
                }
                _ => Err(HeadError::Malformed("the request target names another host than Host")),
            }
        }
    }
}

fn starts_with(text: &[u8], prefix: &[u8]) -> bool {
    text.len() >= prefix.len() && text[..prefix.len()].eq_ignore_ascii_case(prefix)
}

fn characters(text: &[u8]) -> Result<(), HeadError> {
    for (at, &byte) in text.iter().enumerate() {
        if !is_target(byte) {
            return Err(HeadError::Malformed("a character that a request target cannot have"));
        }
        let hex = |at: usize| text.get(at).is_some_and(|b| hex_digit(*b).is_some());
        if byte == b'%' && !(hex(at + 1) && hex(at + 2)) {
            return Err(HeadError::Malformed("a broken % escape in the request target"));
        }
    }
    Ok(())
}

/// A name or address with an optional port; empty is allowed, as RFC 9110 has it for requests without an authority.
pub(super) fn check_host(value: &[u8]) -> Result<(), HeadError> {
    let wrong = Err(HeadError::Malformed("Host is not a host with an optional port"));
    if !value.iter().copied().all(is_host) {
        return wrong;
    }
    let (name, rest) = match value {
        [b'[', ..] => match value.iter().position(|b| *b == b']') {
            Some(end) => value.split_at(end + 1),
            None => return wrong,
        },
        _ => value.split_at(value.iter().position(|b| *b == b':').unwrap_or(value.len())),
    };
    let name = name.strip_prefix(b"[").map_or(name, |inner| &inner[..inner.len() - 1]);
    let port = match rest {
        [] => rest,
        [b':', port @ ..] => port,
        _ => return wrong,
    };
    let plain = !name.iter().any(|b| matches!(b, b'[' | b']'));
    if plain && port.len() <= 5 && port.iter().all(u8::is_ascii_digit) { Ok(()) } else { wrong }
}
