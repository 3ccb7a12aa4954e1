//! How far the text of a JSON string goes without anything that a reader must look at.

use crate::json::words::{controls, marks, word_at};

/// Whether `byte` ends a string, begins an escape, or may not stand in one.
fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < b' '
}

/// Length of the quiet text at the front of `bytes`: up to the first special byte, or all of it.
pub(super) fn quiet(bytes: &[u8]) -> usize {
    let mut at = whole_steps(bytes);
    while let Some(word) = word_at(bytes, at) {
        let found = specials(word);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let found = bytes[at..].iter().position(|b| is_special(*b));
    found.map_or(bytes.len(), |n| at + n)
}

/// The special bytes of a word, as [`marks`] gives them.
pub(super) fn specials(word: u64) -> u64 {
    marks(word, b'"') | marks(word, b'\\') | controls(word)
}

/// How far the text is quiet for sure, found by wider instructions where this machine has them.
fn whole_steps(bytes: &[u8]) -> usize {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= wide::STEP && is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has just been asked whether it knows AVX2.
        return unsafe { wide::quiet(bytes) };
    }
    0
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{
        __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_or_si256,
        _mm256_set1_epi8,
    };

    pub(super) const STEP: usize = 32;

    /// Length of the quiet text, short of a last part that is no whole step.
    #[target_feature(enable = "avx2")]
    pub(super) fn quiet(bytes: &[u8]) -> usize {
        let [quote, backslash, control] = [b'"', b'\\', 0x1f].map(|b| _mm256_set1_epi8(b.cast_signed()));
        let (steps, _) = bytes.as_chunks::<STEP>();
        for (i, step) in steps.iter().enumerate() {
            #[expect(clippy::cast_ptr_alignment, reason = "this load asks for no alignment")]
            // SAFETY: a step is 32 bytes long, and this load asks for no alignment.
            let text = unsafe { _mm256_loadu_si256(step.as_ptr().cast::<__m256i>()) };
            let ends = _mm256_or_si256(_mm256_cmpeq_epi8(text, quote), _mm256_cmpeq_epi8(text, backslash));
            let controls = _mm256_cmpeq_epi8(_mm256_min_epu8(text, control), text);
            let found = _mm256_movemask_epi8(_mm256_or_si256(ends, controls)).cast_unsigned();
            if found != 0 {
                return i * STEP + found.trailing_zeros() as usize;
            }
        }
        steps.len() * STEP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_wherever_it_stands() {
        for length in [0, 1, 63, 64, 65, 127, 128, 300] {
            let text = vec![b'x'; length];
            assert_eq!(quiet(&text), length);
            for at in 0..length {
                for special in [b'"', b'\\', 0, 0x1f, b'\n'] {
                    let mut text = text.clone();
                    text[at] = special;
                    assert_eq!(quiet(&text), at, "{special} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn bytes_beyond_ascii_are_quiet() {
        assert_eq!(quiet(&(0x20..=0xff).filter(|b| !is_special(*b)).collect::<Vec<u8>>()), 222);
    }
}
