//! Passing what nobody wants to see of an object or array: its pair of braces or brackets is counted outside strings.

/// Where the passing led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// Behind what closes it.
    Closed(usize),
    /// All before `at` is passed; what is left is to be passed byte by byte.
    Left {
        at: usize,
        /// How many of the pair are open.
        open: u32,
        /// A string is open too.
        in_text: bool,
        /// Its last byte is a backslash that escapes the byte at `at`.
        pending_escape: bool,
    },
}

/// Passes whole steps from `at`, outside any string, with `open` of the pair open: at least one.
#[inline]
pub(super) fn pass(bytes: &[u8], at: usize, pair: [u8; 2], open: u32) -> Passed {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= at + wide::STEP && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
        // SAFETY: the processor has just been asked whether it knows both.
        return unsafe { wide::pass(bytes, at, pair, open) };
    }
    Passed::Left { at, open, in_text: false, pending_escape: false }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{__m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8};

    use super::Passed;

    const HALF: usize = 32;
    pub(super) const STEP: usize = 2 * HALF;

    /// [`super::pass`] by steps of 64 bytes. Masks have a bit for each byte of a step, as in G. Langdale and D. Lemire,
    /// "Parsing Gigabytes of JSON per Second", 3.1.
    #[target_feature(enable = "avx2,popcnt")]
    pub(super) fn pass(bytes: &[u8], mut at: usize, pair: [u8; 2], mut open: u32) -> Passed {
        // All ones while a string is open, and one if the first byte of the step is escaped.
        let (mut in_text, mut escaped) = (0, 0);
        while let Some(step) = bytes.get(at..).and_then(<[u8]>::first_chunk::<STEP>) {
            let [quotes, backslashes, opening, closing] = masks(step, [b'"', b'\\', pair[0], pair[1]]);
            let (escapes, escaped_next) = if backslashes == 0 { (escaped, 0) } else { escapes(backslashes, escaped) };
            let text = before(quotes & !escapes) ^ in_text;
            if backslashes & !text != 0 {
                // No JSON: whatever it is, it is passed in one way only.
                break;
            }
            let (opening, closing) = (opening & !text, closing & !text);
            if closing.count_ones() < open {
                open = open.saturating_add(opening.count_ones()) - closing.count_ones();
            } else if let Some(end) = close(opening, closing, &mut open) {
                return Passed::Closed(at + end + 1);
            }
            in_text = (text.cast_signed() >> (STEP - 1)).cast_unsigned();
            escaped = escaped_next;
            at += STEP;
        }
        Passed::Left { at, open, in_text: in_text != 0, pending_escape: escaped != 0 }
    }

    /// Where the last of the pair is closed, if it is.
    fn close(opening: u64, closing: u64, open: &mut u32) -> Option<usize> {
        let mut marks = opening | closing;
        while marks != 0 {
            let at = marks.trailing_zeros();
            if opening >> at & 1 == 1 {
                *open = open.saturating_add(1);
            } else {
                *open -= 1;
                if *open == 0 {
                    return Some(at as usize);
                }
            }
            marks &= marks - 1;
        }
        None
    }

    /// Bytes behind a backslash that is not escaped itself, and whether the first byte of the next step is one.
    fn escapes(backslashes: u64, first: u64) -> (u64, u64) {
        const EVEN: u64 = 0x5555_5555_5555_5555;
        let backslashes = backslashes & !first;
        let follows = backslashes << 1 | first;
        // A run that begins at an odd place ends where its carry comes out.
        let odd_begins = backslashes & !EVEN & !follows;
        let (ends, carried) = odd_begins.overflowing_add(backslashes);
        ((EVEN ^ (ends << 1)) & follows, u64::from(carried))
    }

    /// Each bit is the parity of the bits up to and with it: from a quote that opens to before the one that closes.
    fn before(quotes: u64) -> u64 {
        let mut text = quotes;
        for shift in [1, 2, 4, 8, 16, 32] {
            text ^= text << shift;
        }
        text
    }

    /// Which bytes of a step are each of those.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn masks(step: &[u8; STEP], bytes: [u8; 4]) -> [u64; 4] {
        let halves: *const __m256i = step.as_ptr().cast();
        // SAFETY: a step is two halves of 32 bytes, and these loads ask for no alignment.
        let (low, high) = unsafe { (_mm256_loadu_si256(halves), _mm256_loadu_si256(halves.add(1))) };
        bytes.map(|byte| {
            let wanted = _mm256_set1_epi8(byte.cast_signed());
            let of = |half| u64::from(_mm256_movemask_epi8(_mm256_cmpeq_epi8(half, wanted)).cast_unsigned());
            of(low) | of(high) << HALF
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Scalar, Sink, Skimmer, State},
        *,
    };

    /// One byte at a time.
    fn slowly(bytes: &[u8], mut at: usize, pair: [u8; 2], mut open: u32, whole_until: usize) -> Passed {
        let (mut in_text, mut pending_escape) = (false, false);
        while at < whole_until {
            let byte = bytes[at];
            at += 1;
            if pending_escape {
                pending_escape = false;
            } else if in_text {
                pending_escape = byte == b'\\';
                in_text = byte != b'"';
            } else if byte == b'"' {
                in_text = true;
            } else if byte == pair[0] {
                open += 1;
            } else if byte == pair[1] {
                open -= 1;
                if open == 0 {
                    return Passed::Closed(at);
                }
            }
        }
        Passed::Left { at, open, in_text, pending_escape }
    }

    #[test]
    fn steps_and_single_bytes_lead_to_the_same_place() {
        let outside = ["{", "}", "[", "]", ",", "1", "          ", "null"];
        let inside = ["x", "{", "}", "[", "]", r#"\""#, r"\\", r"\n", "0123456789abcdef0123456789abcdef", "é"];
        let mut rng = fastrand::Rng::with_seed(11);
        let mut closed = 0;
        for _ in 0..20_000 {
            let mut text = " ".repeat(rng.usize(1..70));
            for _ in 0..rng.usize(0..40) {
                if rng.bool() {
                    text.push_str(outside[rng.usize(..outside.len())]);
                } else {
                    text.push('"');
                    (0..rng.usize(0..9)).for_each(|_| text.push_str(inside[rng.usize(..inside.len())]));
                    text.push('"');
                }
            }
            let (bytes, at, open) = (text.as_bytes(), rng.usize(0..2).min(text.len()), rng.u32(1..4));
            for pair in [*b"{}", *b"[]"] {
                let fast = pass(bytes, at, pair, open);
                let until = if let Passed::Left { at, .. } = fast { at } else { bytes.len() };
                assert_eq!(fast, slowly(bytes, at, pair, open, until), "{text}");
                closed += usize::from(matches!(fast, Passed::Closed(_)));
                #[cfg(target_arch = "x86_64")]
                assert!(
                    matches!(fast, Passed::Closed(_)) || bytes.len() - until < 64 || !is_x86_feature_detected!("avx2")
                );
            }
        }
        assert!(closed > 1_000, "{closed}");
    }

    /// Bytes of which most mean something.
    fn any_bytes(rng: &mut fastrand::Rng, most: usize) -> Vec<u8> {
        let dense = rng.u8(1..20);
        let byte = |rng: &mut fastrand::Rng| match rng.u8(..20) {
            0 => rng.u8(..),
            kind if kind < dense => *rng.choice(br#"{}[]""\,:"#).unwrap_or(&b' '),
            _ => b'x',
        };
        (0..rng.usize(..most)).map(|_| byte(rng)).collect()
    }

    #[test]
    fn steps_and_single_bytes_lead_to_the_same_place_in_what_is_no_json() {
        let mut rng = fastrand::Rng::with_seed(12);
        for _ in 0..20_000 {
            let (bytes, open) = (any_bytes(&mut rng, 400), rng.u32(1..9));
            let at = rng.usize(..=bytes.len());
            for pair in [*b"{}", *b"[]"] {
                let fast = pass(&bytes, at, pair, open);
                let until = if let Passed::Left { at, .. } = fast { at } else { bytes.len() };
                assert_eq!(fast, slowly(&bytes, at, pair, open, until), "{}", bytes.escape_ascii());
            }
        }
    }

    /// Elements of an outermost array; none is looked into.
    #[derive(Debug, Default, PartialEq)]
    struct Elements(Vec<Vec<u8>>);

    impl Sink for Elements {
        type Place = u8;
        const NOWHERE: u8 = 0;

        fn member(&mut self, _: u8, _: &[u8]) -> u8 {
            0
        }

        fn element(&self, array: u8) -> u8 {
            array + 1
        }

        fn open(&mut self, at: u8, _: bool) -> bool {
            at == 1
        }

        fn scalar(&mut self, _: u8, value: Scalar<'_>) {
            let (Scalar::Text { raw, .. } | Scalar::Atom(raw)) = value;
            self.0.push(raw.to_vec());
        }
    }

    /// What is seen of bytes that come in pieces, and where that ends.
    fn skimmed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Elements, State, u8, u32, bool) {
        let (mut skimmer, mut elements) = (Skimmer::new(1), Elements::default());
        pieces.into_iter().for_each(|piece| skimmer.feed(piece, &mut elements));
        let is_open = matches!(
            skimmer.state,
            State::SkipObject | State::SkipArray | State::SkipObjectText | State::SkipArrayText
        );
        let open = if is_open { skimmer.skip } else { 0 };
        (elements, skimmer.state, skimmer.depth, open, skimmer.pending_escape)
    }

    #[test]
    fn wherever_bytes_are_cut_they_are_passed_in_one_way() {
        let mut rng = fastrand::Rng::with_seed(13);
        for _ in 0..10_000 {
            let begin = rng.choice([&b"[{"[..], b"[[", b"[1,{\"", b"["]).unwrap();
            let bytes = [begin, &any_bytes(&mut rng, 600)[..], b"],7"].concat();
            let single = skimmed(bytes.chunks(1));
            assert_eq!(skimmed([&bytes[..]]), single, "{}", bytes.escape_ascii());
            let (mut rest, mut pieces) = (&bytes[..], Vec::new());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rng.usize(..200).min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            assert_eq!(skimmed(pieces), single, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_backslash_outside_a_string_is_left_to_single_bytes() {
        let text = [&b" ".repeat(70)[..], br#"\"}""#, &b" ".repeat(70)].concat();
        let Passed::Left { at, open: 1, in_text: false, pending_escape: false } = pass(&text, 0, *b"{}", 1) else {
            panic!("it was passed");
        };
        assert!(at <= 70, "{at}");
    }
}
