//! The character classes of the HTTP grammar as tables.

/// RFC 9110, 5.6.2: what a method, a field name or a chunk extension's name is made of.
const TOKEN: [bool; 256] = table(b"!#$%&'*+-.^_`|~");

/// RFC 3986 without fragments, and the few others that browsers leave unescaped. Not `"`, `<`, `>`, `\`, backtick, `#`.
const TARGET: [bool; 256] = table(b"-._~!$&'()*+,;=:@/?%[]{}|^");

/// A host name, an address in brackets, a port: no user, no list, no escapes.
const HOST: [bool; 256] = table(b"-._~:[]");

const fn table(marks: &[u8]) -> [bool; 256] {
    let mut all = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        all[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < marks.len() {
        all[marks[at] as usize] = true;
        at += 1;
    }
    all
}

pub(super) fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

pub(super) fn is_target(byte: u8) -> bool {
    TARGET[usize::from(byte)]
}

pub(super) fn is_host(byte: u8) -> bool {
    HOST[usize::from(byte)]
}

/// RFC 9110, 5.5: tab, space, visible and obs-text bytes.
pub(super) fn is_value(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

pub(super) fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Without the optional white space (space and tab only) at both ends.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
