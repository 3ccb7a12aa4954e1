//! How far the text of a JSON string goes: to its closing quote, to what may not stand in it, or to the end of what is here.

use super::words::{controls, marks, word_at};

/// Where the text of a string led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// Its closing quote stands here.
    Whole(usize),
    /// What stands here may not: a control character, or a backslash that begins no escape.
    Wrong(usize),
    /// All before this is text; the bytes end here or inside the escape that begins here.
    Short(usize),
}

/// Passes the text of a string from `at`, behind its opening quote or anywhere inside it but within an escape.
#[inline]
pub(crate) fn pass(bytes: &[u8], mut at: usize) -> Passed {
    // Most strings are short.
    for _ in 0..2 {
        let Some(word) = word_at(bytes, at) else { break };
        let found = specials(word);
        if found != 0 {
            let stop = at + found.trailing_zeros() as usize / 8;
            if bytes[stop] == b'"' {
                return Passed::Whole(stop);
            }
            at = stop;
            break;
        }
        at += 8;
    }
    pass_long(bytes, at)
}

/// Where the quote stands that closes a string of plain text, which begins at `at`; `None`: an escape comes before it, or
/// what may not stand there, or the end of what is here.
#[inline]
pub(crate) fn plain(bytes: &[u8], at: usize) -> Option<usize> {
    let stop = stop(bytes, at)?;
    (bytes[stop] == b'"').then_some(stop)
}

/// Where the first special byte from `at` on stands.
fn stop(bytes: &[u8], at: usize) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has just been asked whether it knows AVX2.
        return unsafe { wide::stop(bytes, at) };
    }
    stop_words(bytes, at)
}

/// Eight bytes at a time.
fn stop_words(bytes: &[u8], mut at: usize) -> Option<usize> {
    while let Some(word) = word_at(bytes, at) {
        let found = specials(word);
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    bytes.get(at..)?.iter().position(|b| is_special(*b)).map(|n| at + n)
}

fn pass_long(bytes: &[u8], at: usize) -> Passed {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has just been asked whether it knows AVX2.
        return unsafe { wide::pass(bytes, at) };
    }
    pass_words(bytes, at)
}

/// Eight bytes at a time.
fn pass_words(bytes: &[u8], mut at: usize) -> Passed {
    loop {
        let found = word_at(bytes, at).map(specials);
        match found {
            Some(0) => {
                at += 8;
                continue;
            }
            Some(found) => at += found.trailing_zeros() as usize / 8,
            None => match bytes[at.min(bytes.len())..].iter().position(|b| is_special(*b)) {
                Some(n) => at += n,
                None => return Passed::Short(bytes.len()),
            },
        }
        match special(bytes, at) {
            Ok(next) => at = next,
            Err(end) => return end,
        }
    }
}

/// Passes an escape, whose end this is, or says how the string ends with the special byte at `at`.
#[inline]
fn special(bytes: &[u8], at: usize) -> Result<usize, Passed> {
    match bytes[at] {
        b'"' => Err(Passed::Whole(at)),
        b'\\' => escape(bytes, at),
        _ => Err(Passed::Wrong(at)),
    }
}

#[inline]
fn escape(bytes: &[u8], at: usize) -> Result<usize, Passed> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            let digits = &bytes[at + 2..bytes.len().min(at + 6)];
            if !digits.iter().all(u8::is_ascii_hexdigit) {
                return Err(Passed::Wrong(at));
            }
            if digits.len() == 4 { Ok(at + 6) } else { Err(Passed::Short(at)) }
        }
        Some(_) => Err(Passed::Wrong(at)),
        None => Err(Passed::Short(at)),
    }
}

/// Whether `byte` ends a string, begins an escape, or may not stand in one.
fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < b' '
}

/// The special bytes of a word, as [`marks`] gives them.
fn specials(word: u64) -> u64 {
    marks(word, b'"') | marks(word, b'\\') | controls(word)
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{
        __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_or_si256,
        _mm256_set1_epi8,
    };

    use super::{Passed, pass_words, special, stop_words};

    const HALF: usize = 32;
    const STEP: usize = 2 * HALF;

    /// [`super::pass`] by steps of 64 bytes; several escapes in one step cost one look.
    #[target_feature(enable = "avx2")]
    pub(super) fn pass(bytes: &[u8], mut at: usize) -> Passed {
        'steps: while let Some(step) = bytes.get(at..).and_then(<[u8]>::first_chunk::<STEP>) {
            let mut found = specials(step);
            while found != 0 {
                let next = match special(bytes, at + found.trailing_zeros() as usize) {
                    Ok(next) => next,
                    Err(end) => return end,
                };
                if next - at >= STEP {
                    at = next;
                    continue 'steps;
                }
                found &= u64::MAX << (next - at);
            }
            at += STEP;
        }
        pass_words(bytes, at)
    }

    /// [`super::stop`] by steps of 64 bytes.
    #[target_feature(enable = "avx2")]
    pub(super) fn stop(bytes: &[u8], mut at: usize) -> Option<usize> {
        while let Some(step) = bytes.get(at..).and_then(<[u8]>::first_chunk::<STEP>) {
            let found = specials(step);
            if found != 0 {
                return Some(at + found.trailing_zeros() as usize);
            }
            at += STEP;
        }
        stop_words(bytes, at)
    }

    /// A bit for each special byte.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn specials(step: &[u8; STEP]) -> u64 {
        let [quote, backslash, control] = [b'"', b'\\', 0x1f].map(|b| _mm256_set1_epi8(b.cast_signed()));
        let of = |text: __m256i| {
            let ends = _mm256_or_si256(_mm256_cmpeq_epi8(text, quote), _mm256_cmpeq_epi8(text, backslash));
            let controls = _mm256_cmpeq_epi8(_mm256_min_epu8(text, control), text);
            u64::from(_mm256_movemask_epi8(_mm256_or_si256(ends, controls)).cast_unsigned())
        };
        let halves: *const __m256i = step.as_ptr().cast();
        // SAFETY: a step is two halves of 32 bytes, and these loads ask for no alignment.
        let (low, high) = unsafe { (_mm256_loadu_si256(halves), _mm256_loadu_si256(halves.add(1))) };
        of(low) | of(high) << HALF
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One byte at a time.
    fn slowly(bytes: &[u8], mut at: usize) -> Passed {
        while at < bytes.len() {
            if is_special(bytes[at]) {
                match special(bytes, at) {
                    Ok(next) => at = next,
                    Err(end) => return end,
                }
            } else {
                at += 1;
            }
        }
        Passed::Short(at)
    }

    #[test]
    fn the_first_special_byte_is_found_wherever_it_stands() {
        for length in [0, 1, 31, 32, 33, 63, 64, 65, 127, 128, 300] {
            let text = vec![b'x'; length];
            assert_eq!(pass(&text, 0), Passed::Short(length));
            for at in 0..length {
                for (special, expected) in
                    [(b'"', Passed::Whole(at)), (0, Passed::Wrong(at)), (0x1f, Passed::Wrong(at))]
                {
                    let mut text = text.clone();
                    text[at] = special;
                    assert_eq!(pass(&text, 0), expected, "{special} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn bytes_beyond_ascii_are_text() {
        let text: Vec<u8> = (0x20..=0xff).filter(|b| !is_special(*b)).collect();
        assert_eq!(pass(&text, 0), Passed::Short(222));
    }

    #[test]
    fn an_escape_that_does_not_end_is_taken_up_where_it_begins() {
        for (text, expected) in [
            (r"abc\", Passed::Short(3)),
            (r"abc\u12", Passed::Short(3)),
            (r"abc\u12x", Passed::Wrong(3)),
            (r"abc\u12f0", Passed::Short(9)),
            (r"abc\x", Passed::Wrong(3)),
            (r#"abc\""#, Passed::Short(5)),
            (r#"abc\\""#, Passed::Whole(5)),
        ] {
            assert_eq!(pass(text.as_bytes(), 0), expected, "{text}");
        }
    }

    #[test]
    fn all_ways_to_pass_a_string_agree() {
        let pieces = [
            "x",
            "0123456789abcdef0123456789abcdefg",
            r"\n",
            r"\\",
            r#"\""#,
            r"\u00e9",
            "é",
            r"\u12",
            r"\q",
            "\n",
            "\"",
            r"\",
        ];
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..rng.usize(0..30) {
                let kinds = if rng.u8(..) < 20 { pieces.len() } else { 7 };
                text.push_str(pieces[rng.usize(0..kinds)]);
            }
            let expected = slowly(text.as_bytes(), 0);
            assert_eq!(pass(text.as_bytes(), 0), expected, "{text}");
            assert_eq!(pass_words(text.as_bytes(), 0), expected, "{text}");
            let first = text.bytes().position(is_special);
            assert_eq!(stop(text.as_bytes(), 0), first, "{text}");
            assert_eq!(stop_words(text.as_bytes(), 0), first, "{text}");
            assert_eq!(plain(text.as_bytes(), 0), first.filter(|at| text.as_bytes()[*at] == b'"'), "{text}");
        }
    }
}
