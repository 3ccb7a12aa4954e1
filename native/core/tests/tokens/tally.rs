//! A text counted piece by piece has the tokens that it has as a whole.

use penstock_core::tokens::{Encoding, Tally, count};
use proptest::prelude::*;

use super::oracle::BOTH;

/// Long enough to be counted before its end, with runs of every kind.
const LONG: &str = "(?s)([a-zA-Z]{1,9}[ ']?|[ \n\r\t]{1,5}|[!.,/{}'-]{1,6}|[0-9]{1,9}|[漢字éÉſǅʰا\u{301}\u{3000}🙂]{1,4}|[a-zA-Z]{200}){0,400}";

fn pieces(encoding: &Encoding, text: &[u8], cuts: &[usize]) -> (u64, bool) {
    let mut tally = Tally::default();
    let mut rest = text;
    for cut in cuts.iter().cycle() {
        let (piece, behind) = rest.split_at((*cut).min(rest.len()));
        tally.push(piece);
        if tally.is_due() {
            tally.count(Some(encoding));
        }
        rest = behind;
        if rest.is_empty() {
            break;
        }
    }
    tally.end(Some(encoding))
}

#[test]
fn a_long_text_is_counted_as_it_comes() {
    let text = "The quick brown fox — größer als 12345 Füchse — don't jump…\n\n  \n over it. ".repeat(400);
    for (encoding, _) in &*BOTH {
        for cuts in [&[1][..], &[3, 5], &[600], &[100_000]] {
            assert_eq!(pieces(encoding, text.as_bytes(), cuts), (count(encoding, text.as_bytes()), true));
        }
    }
}

#[test]
fn what_has_no_end_is_cut_and_said_to_be_a_guess() {
    let text = "a".repeat(200_000);
    let (encoding, _) = &BOTH[0];
    let (tokens, is_exact) = pieces(encoding, text.as_bytes(), &[4_096]);
    assert!(!is_exact && tokens.abs_diff(count(encoding, text.as_bytes())) < 50, "{tokens}");
    let mut tally = Tally::default();
    tally.push(b"1234567");
    assert_eq!(tally.end(None), (3, false), "without an encoding by bytes");
    assert_eq!(Tally::default().end(None), (0, true));
}

proptest! {
    #[test]
    fn however_it_is_cut(text in LONG, cuts in proptest::collection::vec(1_usize..700, 1..9)) {
        for (encoding, _) in &*BOTH {
            prop_assert_eq!(pieces(encoding, text.as_bytes(), &cuts), (count(encoding, text.as_bytes()), true));
        }
    }
}
