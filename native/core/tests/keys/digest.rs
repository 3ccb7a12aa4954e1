//! Digests: what they are, where their key comes from, and that comparing them tells nothing.

use std::{env, fs, hint::black_box, path::PathBuf};

use penstock_core::{
    clock::Clock,
    keys::{Digest, Digests},
};

use crate::made::{DIGESTS, hex};

fn file(name: &str, content: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("keys-{}-{name}", std::process::id()));
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn a_digest_is_blake3_keyed_by_the_file() {
    // From BLAKE3's own test vectors: this key, no input.
    let file = file("digest.key", b"whats the Elvish word for friend");
    let digests = Digests::read(&file).unwrap();
    let expected = "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26";
    assert_eq!(digests.digest(b"").hex(), expected);
    assert_eq!(Digest::parse(expected), Some(digests.digest(b"")));
    assert_ne!(digests.digest(b""), digests.digest(b"a"));
    fs::remove_file(file).unwrap();
}

#[test]
fn a_key_file_of_another_length_or_none_is_refused_by_name() {
    for (name, content) in [("empty", &b""[..]), ("short", &[1; 31]), ("long", &[1; 33])] {
        let file = file(name, content);
        let error = Digests::read(&file).expect_err("it is not 32 bytes");
        assert!(error.contains(name) && error.contains("32 bytes"), "{error}");
        fs::remove_file(file).unwrap();
    }
    assert!(Digests::read("/no/such/digest.key".as_ref()).expect_err("no file").contains("/no/such/digest.key"));
}

#[test]
fn two_random_keys_differ() {
    let digest = || Digests::random().unwrap().digest(b"x");
    assert_ne!(digest(), digest());
}

#[test]
fn only_64_hexadecimal_digits_are_a_digest() {
    let good = hex("x");
    assert!(Digest::parse(&good).is_some() && Digest::parse(&good.to_uppercase()).is_some());
    for bad in ["", &good[1..], &format!("{good}0"), &good.replace(&good[..1], "g"), &"é".repeat(32)] {
        assert_eq!(Digest::parse(bad), None, "{bad}");
    }
}

#[test]
fn debug_shows_neither_digest_nor_key() {
    let shown = format!("{:?} {DIGESTS:?}", DIGESTS.digest(b"x"));
    assert_eq!(shown, "Digest(…) Digests(…)");
}

/// The effect size (Cohen's d) between the times of 1,000 calls each of `equal` with digests that differ from the right
/// one in the first byte and in the last, in turns.
fn effect(equal: impl Fn(&Digest, &Digest) -> bool) -> f64 {
    let right = DIGESTS.digest(b"x");
    let others = [0, 31].map(|at| {
        let mut hex = right.hex();
        let flipped = if &hex[2 * at..=2 * at] == "0" { "1" } else { "0" };
        hex.replace_range(2 * at..=2 * at, flipped);
        Digest::parse(&hex).unwrap()
    });
    let time = |other: &Digest| {
        let before = Clock::System.boot_us();
        for _ in 0..1_000 {
            assert!(!black_box(equal(black_box(&right), black_box(other))));
        }
        (Clock::System.boot_us() - before) as f64
    };
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..200 {
        let first = round % 2;
        for side in [first, 1 - first] {
            times[side].push(time(&others[side]));
        }
    }
    let [a, b] = times.map(|mut times| {
        // The faster half: in the other something else ran as well.
        times.sort_by(f64::total_cmp);
        times.truncate(100);
        let mean = times.iter().sum::<f64>() / 100.0;
        (mean, times.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / 99.0)
    });
    (a.0 - b.0).abs() / f64::midpoint(a.1, b.1).sqrt().max(0.01)
}

/// Other tests run beside this one: it takes one round quiet enough to notice a comparison that tells.
#[test]
fn comparing_takes_as_long_whether_the_first_or_the_last_byte_differs() {
    let mut rounds = Vec::new();
    for _ in 0..20 {
        let ends_early = effect(|a, b| a.bytes().iter().zip(b.bytes()).all(|(a, b)| a == b));
        let ours = effect(|a, b| a == b);
        if ends_early > 2.0 && ours < 0.5 {
            return;
        }
        rounds.push((ends_early, ours));
    }
    panic!("d of a comparison that ends early, and of ours: {rounds:?}");
}
