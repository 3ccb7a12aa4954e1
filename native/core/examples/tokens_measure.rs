//! How fast tokens are counted, in MB/s: of the files that are named, each for itself, and of hostile text.
//!
//! `tokens_measure DIRECTORY FILE...`, where the first has the tables.

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::{env, fs, hint::black_box, io, path::Path};

use penstock_core::{
    clock::Clock,
    tokens::{Encoding, count},
};

const ROUNDS: usize = 15;
const HOSTILE_BYTES: usize = 100_000;

/// Microseconds of one round, the best of several, and the count.
fn measure(encoding: &Encoding, text: &[u8]) -> (u64, u64) {
    let clock = Clock::System;
    let rounds = (0..ROUNDS).map(|_| {
        let start = clock.boot_us();
        let counted = count(encoding, black_box(text));
        (clock.boot_us() - start, counted)
    });
    rounds.min().unwrap_or_default()
}

/// Letters in no order.
fn letters() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    (0..HOSTILE_BYTES).map(|_| random.u8(b'a'..=b'z')).collect()
}

fn main() -> io::Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let Some((directory, files)) = arguments.split_first() else {
        return Err(io::Error::other("usage: tokens_measure DIRECTORY FILE..."));
    };
    let mut texts = files.iter().map(|name| Ok((name.clone(), fs::read(name)?))).collect::<io::Result<Vec<_>>>()?;
    for (name, one) in [
        ("one letter", "a"),
        ("spaces", " "),
        ("a combining mark", "\u{301}"),
        ("exclamation marks", "!"),
        ("a syllable", "ab"),
        ("one ideograph", "的"),
        ("an emoji", "🙂"),
    ] {
        texts.push((name.to_owned(), one.repeat(HOSTILE_BYTES / one.len()).into_bytes()));
    }
    texts.push(("letters in no order".to_owned(), letters()));
    for encoding_name in Encoding::NAMES {
        let encoding = Encoding::open(Path::new(directory), encoding_name).map_err(io::Error::other)?;
        for (name, text) in &texts {
            let (us, counted) = measure(&encoding, text);
            let speed = text.len() as f64 / us.max(1) as f64;
            println!("{encoding_name}, {name}, {} bytes: {counted} tokens, {us} us, {speed:.1} MB/s", text.len());
        }
    }
    Ok(())
}
