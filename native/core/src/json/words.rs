//! Eight bytes at a time: which of them are the ones looked for.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks bytes of `word` that equal `byte`; exact up to and including the first one.
#[inline]
pub(crate) const fn marks(word: u64, byte: u8) -> u64 {
    let x = word ^ (ONES * byte as u64);
    x.wrapping_sub(ONES) & !x & HIGHS
}

/// Marks bytes below a blank; exact up to and including the first one.
#[inline]
pub(crate) const fn controls(word: u64) -> u64 {
    word.wrapping_sub(ONES * 0x20) & !word & HIGHS
}

/// Marks bytes that are not in a range of ASCII; exact.
#[inline]
pub(crate) const fn outside(word: u64, first: u8, last: u8) -> u64 {
    let low = word & !HIGHS;
    let from_first = low + ONES * (0x80 - first) as u64;
    let beyond_last = low + ONES * (0x7f - last) as u64;
    (!from_first | beyond_last | word) & HIGHS
}

/// The word at `pos`, its first byte lowest.
#[inline]
pub(crate) fn word_at(bytes: &[u8], pos: usize) -> Option<u64> {
    bytes.get(pos..pos + 8)?.try_into().ok().map(u64::from_le_bytes)
}
