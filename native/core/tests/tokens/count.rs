//! Counts are what the slow way counts.

use penstock_core::tokens::count;
use proptest::prelude::*;

use super::oracle::BOTH;

/// Characters of every class, and those that the patterns name.
const NASTY: &str =
    "[aAbB'sStTreVElLdDmM \n\r\t/!.,0-9éÉſǅʰא你한\u{301}\u{20dd}\u{3000}\u{a0}\u{85}’🙂\u{e0100}]{0,60}";

fn agree(text: &[u8]) {
    for (fast, slow) in &*BOTH {
        assert_eq!(count(fast, text), slow.count(text), "{fast:?} {:?}", String::from_utf8_lossy(text));
    }
}

#[test]
fn rules_of_splitting_hold_one_by_one() {
    for text in [
        "",
        "Hello, world!",
        "don't DON'T dont' 'sound we'll we'LL I'ſ 'ſ x'RE're",
        "  two  spaces   \n\n  \t\n x \r\n\r\n",
        "trailing   ",
        "trailing \n  ",
        "\n  ",
        "\u{3000}\u{3000}x\u{a0}y\u{85}z",
        "1234567 1,234.5 ٣٤٥٦",
        "path/to//file\r\n//\n/",
        "CamelCaseHTTPServer aB Ab ABc ǅabc ʰello",
        "e\u{301}\u{301} \u{301}A \u{301}AB !\u{301} 1\u{301}A",
        "AB\u{301}CD AB\u{301}Cd 你ABc",
        "!!\u{301}!\n/ ?!",
        "<|endoftext|>",
        "👩‍👩‍👧‍👦🏳️‍🌈",
        "\u{feff}\0\u{7f}",
    ] {
        agree(text.as_bytes());
    }
}

#[test]
fn bytes_that_are_no_text_count_as_replaced() {
    for bytes in [&b"\xff"[..], b"a\xffb", b"\xe4\xbd", b"\xf0\x9f\x99x", b"\xed\xa0\x80", b"\xc0\xaf \x80\x80"] {
        agree(bytes);
    }
}

#[test]
fn pieces_longer_than_a_window_are_joined_as_one() {
    // A window is 4096 bytes. The slow way is quadratic, so that these are just a little longer.
    for one in ["a", "zzzy", "Abc", " ", "\n", "=-", "\u{301}", "你", "ا", "🙂"] {
        for len in [4_096, 4_500] {
            agree(&one.repeat(len / one.len() + 1).as_bytes()[..len]);
        }
    }
}

#[test]
fn long_pieces_of_no_order_are_joined_as_one() {
    let mut random = fastrand::Rng::with_seed(3);
    for letters in ["ab", "aeinst", "abcdefghijklmnopqrstuvwxyz", "的一是不了人我在有他这", "\u{300}\u{301}\u{302}"]
    {
        let letters: Vec<char> = letters.chars().collect();
        let text: String = (0..5_000).map(|_| letters[random.usize(..letters.len())]).collect();
        agree(text.as_bytes());
    }
}

proptest! {
    #[test]
    fn nasty_text_agrees(text in NASTY) {
        agree(text.as_bytes());
    }

    #[test]
    fn any_text_agrees(text in ".{0,60}") {
        agree(text.as_bytes());
    }

    #[test]
    fn any_bytes_agree(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        agree(&bytes);
    }
}
