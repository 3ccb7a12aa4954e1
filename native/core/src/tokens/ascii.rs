//! Where runs of ASCII end, eight bytes at a step.

/// Where digits end, three at most.
#[inline]
pub(super) fn digits(text: &[u8], at: usize) -> usize {
    at + text[at..].iter().take(3).take_while(|byte| byte.is_ascii_digit()).count()
}

/// Where letters of lower case end.
#[inline]
pub(super) fn lower(text: &[u8], at: usize) -> usize {
    run(text, at, 0, b'a', b'z')
}

/// Where letters of upper case end.
#[inline]
pub(super) fn upper(text: &[u8], at: usize) -> usize {
    run(text, at, 0, b'A', b'Z')
}

/// Where letters end.
#[inline]
pub(super) fn letters(text: &[u8], at: usize) -> usize {
    run(text, at, b' ', b'a', b'z')
}

/// Where bytes end that with the bits of `both` are in a range.
#[inline]
fn run(text: &[u8], mut at: usize, both: u8, first: u8, last: u8) -> usize {
    while let Some(step) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let outside = outside(u64::from_le_bytes(*step) | u64::from(both) * EACH, first, last);
        at += outside.trailing_zeros() as usize / 8;
        if outside != 0 {
            return at;
        }
    }
    at + text[at..].iter().take_while(|byte| (first..=last).contains(&(**byte | both))).count()
}

const EACH: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x80 * EACH;

/// The highest bit of each byte that is not in a range of ASCII.
#[inline]
const fn outside(word: u64, first: u8, last: u8) -> u64 {
    let low = word & !HIGH;
    let from_first = low + (0x80 - first) as u64 * EACH;
    let beyond_last = low + (0x7f - last) as u64 * EACH;
    (!from_first | beyond_last | word) & HIGH
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
