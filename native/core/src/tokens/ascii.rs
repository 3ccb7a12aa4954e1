//! Where runs of ASCII end, eight bytes at a step.

use std::ops::RangeInclusive;

use crate::json::words::{outside, word_at};

/// Where digits end, three at most.
#[inline]
pub(super) fn digits(text: &[u8], at: usize) -> usize {
    at + text[at..].iter().take(3).take_while(|byte| byte.is_ascii_digit()).count()
}

/// Where letters of lower case end.
#[inline]
pub(super) fn lower(text: &[u8], at: usize) -> usize {
    run(text, at, 0, b'a'..=b'z')
}

/// Where letters of upper case end.
#[inline]
pub(super) fn upper(text: &[u8], at: usize) -> usize {
    run(text, at, 0, b'A'..=b'Z')
}

/// Where letters end.
#[inline]
pub(super) fn letters(text: &[u8], at: usize) -> usize {
    run(text, at, b' ', b'a'..=b'z')
}

/// Where bytes end that with this bit set are in a range.
#[expect(clippy::inline_always, reason = "most runs end in the first word, and the call costs as much as that")]
#[inline(always)]
fn run(text: &[u8], mut at: usize, bit: u8, range: RangeInclusive<u8>) -> usize {
    while let Some(word) = word_at(text, at) {
        let outside = outside(word | u64::from_ne_bytes([bit; 8]), *range.start(), *range.end());
        at += outside.trailing_zeros() as usize / 8;
        if outside != 0 {
            return at;
        }
    }
    at + text[at..].iter().take_while(|byte| range.contains(&(**byte | bit))).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_where_a_byte_is_none_of_theirs() {
        for byte in 0..=u8::MAX {
            for at in 0..20 {
                let mut text = b"abcdefghijklmnopqrst".to_vec();
                text[at] = byte;
                let end = |is: bool| if is { text.len() } else { at };
                assert_eq!(lower(&text, 0), end(byte.is_ascii_lowercase()), "{byte} {at}");
                assert_eq!(letters(&text, 0), end(byte.is_ascii_alphabetic()), "{byte} {at}");
                text.make_ascii_uppercase();
                text[at] = byte;
                let end = |is: bool| if is { text.len() } else { at };
                assert_eq!(upper(&text, 0), end(byte.is_ascii_uppercase()), "{byte} {at}");
            }
        }
    }
}
