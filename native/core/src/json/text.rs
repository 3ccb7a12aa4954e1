//! JSON's strings: finding their ends, decoding and writing them.

use std::borrow::Cow;

use super::words::{marks, word_at};

/// A value that is not a container.
#[derive(Clone, Copy, Debug)]
pub enum Scalar<'a> {
    /// A string, raw between its quotes and possibly shortened; `escaped` if any backslash is in it.
    Text { raw: &'a [u8], escaped: bool },
    /// A number or literal.
    Atom(&'a [u8]),
}

impl<'a> Scalar<'a> {
    /// The decoded string, if it is one.
    pub fn text(self) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Text { raw, escaped: false } => Some(Cow::Borrowed(raw)),
            Self::Text { raw, escaped: true } => Some(Cow::Owned(unescape(raw))),
            Self::Atom(_) => None,
        }
    }

    /// A number that counts something: not negative, a fraction is cut off.
    pub fn count(self) -> Option<u64> {
        let Self::Atom(raw) = self else { return None };
        if raw.len() < 19 && !raw.is_empty() && raw.iter().all(u8::is_ascii_digit) {
            return Some(raw.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0')));
        }
        let text = std::str::from_utf8(raw).ok()?;
        if !matches!(raw.first(), Some(b'0'..=b'9' | b'-')) {
            return None;
        }
        text.parse().ok().or_else(|| {
            let value: f64 = text.parse().ok()?;
            // The bound is 2^63, below which the cast is exact.
            #[expect(clippy::cast_sign_loss)]
            (0.0..9.2e18).contains(&value).then_some(value as u64)
        })
    }

    /// The same, but of a fraction the next number above it.
    pub fn count_up(self) -> Option<u64> {
        let count = self.count()?;
        let Self::Atom(raw) = self else { return None };
        let value: f64 = std::str::from_utf8(raw).ok()?.parse().ok()?;
        Some(if value.fract() > 0.0 { count + 1 } else { count })
    }

    /// A number that is whole and not negative, in whatever notation.
    pub fn whole(self) -> Option<u64> {
        let Self::Atom(raw) = self else { return None };
        let fraction = || std::str::from_utf8(raw).ok()?.parse::<f64>().ok();
        let is_whole = raw.iter().all(u8::is_ascii_digit) || fraction()?.fract() == 0.0;
        is_whole.then(|| self.count())?
    }

    /// Whether a scripting language would take it for true.
    pub fn is_truthy(self) -> bool {
        match self {
            Self::Text { raw, .. } => !raw.is_empty(),
            Self::Atom(b"null" | b"false") => false,
            Self::Atom(b"true") => true,
            Self::Atom(raw) => {
                std::str::from_utf8(raw).ok().and_then(|n| n.parse::<f64>().ok()).is_some_and(|n| n != 0.0)
            }
        }
    }
}

/// The next quote or backslash. Most strings are short, so two words are looked at before the long search.
#[inline]
pub(super) fn find_quote(bytes: &[u8], mut pos: usize) -> Option<usize> {
    for _ in 0..3 {
        let Some(word) = word_at(bytes, pos) else { break };
        let found = marks(word, b'"') | marks(word, b'\\');
        if found != 0 {
            return Some(pos + found.trailing_zeros() as usize / 8);
        }
        pos += 8;
    }
    memchr::memchr2(b'"', b'\\', bytes.get(pos..)?).map(|n| pos + n)
}

/// The next of three bytes.
#[inline]
pub(super) fn find_any(bytes: &[u8], pos: usize, a: u8, b: u8, c: u8) -> Option<usize> {
    if let Some(word) = word_at(bytes, pos) {
        let found = marks(word, a) | marks(word, b) | marks(word, c);
        if found != 0 {
            return Some(pos + found.trailing_zeros() as usize / 8);
        }
    }
    memchr::memchr3(a, b, c, bytes.get(pos..)?).map(|n| pos + n)
}

/// Decodes the raw bytes of a JSON string. A lone surrogate becomes its three-byte generalised UTF-8, so that
/// different strings stay different; a broken escape is taken as it stands.
pub fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let (decoded, used) = escape(&rest[at..]);
        match decoded {
            Some(code) => push_code(code, &mut out),
            None => out.extend_from_slice(&rest[at..at + used]),
        }
        rest = &rest[at + used..];
    }
    out.extend_from_slice(rest);
    out
}

/// One escape at the start of `raw`: its code point, and its length. `None`: the backslash stands for itself.
pub(crate) fn escape(raw: &[u8]) -> (Option<u32>, usize) {
    let code = match raw.get(1) {
        Some(b'n') => 10,
        Some(b't') => 9,
        Some(b'r') => 13,
        Some(b'b') => 8,
        Some(b'f') => 12,
        Some(&c @ (b'"' | b'\\' | b'/')) => u32::from(c),
        Some(b'u') => return unicode_escape(raw),
        _ => return (None, 1),
    };
    (Some(code), 2)
}

fn unicode_escape(raw: &[u8]) -> (Option<u32>, usize) {
    let Some(first) = hex4(raw.get(2..6)) else { return (None, 1) };
    if (0xd800..0xdc00).contains(&first)
        && raw.get(6..8) == Some(b"\\u")
        && let Some(second @ 0xdc00..0xe000) = hex4(raw.get(8..12))
    {
        return (Some(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)), 12);
    }
    (Some(first), 6)
}

fn hex4(digits: Option<&[u8]>) -> Option<u32> {
    digits?.iter().try_fold(0, |n, &d| Some(n << 4 | char::from(d).to_digit(16)?))
}

fn push_code(code: u32, out: &mut Vec<u8>) {
    if let Some(c) = char::from_u32(code) {
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        out.extend_from_slice(&[0xe0 | (code >> 12) as u8, 0x80 | (code >> 6 & 63) as u8, 0x80 | (code & 63) as u8]);
    }
}

/// Appends `text` as a JSON string with its quotes.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    escaped(text, |piece| out.extend_from_slice(piece.as_bytes()));
    out.push(b'"');
}

/// Shows text as it stands within a string's quotes, piece by piece.
pub(crate) fn escaped(text: &str, mut seen: impl FnMut(&str)) {
    const DIGITS: &str = "0123456789abcdef";
    let digit = |value: u8| &DIGITS[usize::from(value)..=usize::from(value)];
    let mut done = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "\\u00",
            _ => continue,
        };
        seen(&text[done..at]);
        seen(short);
        if short.len() > 2 {
            seen(digit(byte >> 4));
            seen(digit(byte & 15));
        }
        done = at + 1;
    }
    seen(&text[done..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_decoded_as_the_standard_says() {
        for (raw, text) in [
            (r"plain", "plain".as_bytes()),
            (r#"\"\\\/\b\f\n\r\t"#, b"\"\\/\x08\x0c\n\r\t"),
            (r"mod\u0065l", b"model"),
            (r"\ud83d\ude00", "😀".as_bytes()),
            (r"\ud83d!", b"\xed\xa0\xbd!"),
            (r"\ude00\ud83d", b"\xed\xb8\x80\xed\xa0\xbd"),
            (r"\x\u12", br"\x\u12"),
        ] {
            assert_eq!(unescape(raw.as_bytes()), text, "{raw}");
        }
    }

    #[test]
    fn written_strings_are_read_back_the_same() {
        let text: String = (0..0x250).filter_map(char::from_u32).chain("\u{2028}😀".chars()).collect();
        let mut out = Vec::new();
        write_string(&text, &mut out);
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
    }

    #[test]
    fn counts_are_whole_numbers_not_below_zero() {
        for (atom, count) in [
            ("0", Some(0)),
            ("12", Some(12)),
            ("12.9", Some(12)),
            ("1e3", Some(1000)),
            ("-0", Some(0)),
            ("-1", None),
            ("null", None),
            ("18446744073709551615", Some(u64::MAX)),
            ("1e30", None),
        ] {
            assert_eq!(Scalar::Atom(atom.as_bytes()).count(), count, "{atom}");
        }
    }
}
