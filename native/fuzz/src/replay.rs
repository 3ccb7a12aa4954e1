//! Runs a target on a plain toolchain: over stored inputs, then, with `--seconds N`, over random changes of them.
//!
//! Without coverage to guide it this finds less than a fuzzer, but it needs none. An input that breaks the target is
//! kept as `crash` in the working directory.

use std::{fs, io, panic, path::Path};

use penstock_core::clock::Clock;

/// Pieces that parsers trip over.
const ODD: [&[u8]; 24] = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b":",
    b";",
    b",",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b"0",
    b"-",
    b"\\u",
    b"data: ",
    b"event: ",
    b"Transfer-Encoding: chunked\r\n",
];

/// `[--seconds N] PATH...`: each path a file, or a directory of files.
pub fn main(target: fn(&[u8])) -> io::Result<()> {
    let (mut seconds, mut inputs) = (0, Vec::new());
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--seconds" {
            let number = arguments.next().and_then(|n| n.to_str()?.parse().ok());
            seconds = number.ok_or_else(|| io::Error::other("--seconds needs a number"))?;
        } else {
            read(Path::new(&argument), &mut inputs)?;
        }
    }
    inputs.iter().try_for_each(|input| run(target, input))?;
    let clock = Clock::System;
    let end = clock.boot_us() + seconds * 1_000_000;
    let mut random = Random(clock.utc_us() | 1);
    while !inputs.is_empty() && clock.boot_us() < end {
        let input = random.change(&inputs);
        run(target, &input)?;
    }
    Ok(())
}

fn read(path: &Path, inputs: &mut Vec<Vec<u8>>) -> io::Result<()> {
    if !path.is_dir() {
        inputs.push(fs::read(path)?);
        return Ok(());
    }
    let mut entries = fs::read_dir(path)?.map(|entry| entry.map(|e| e.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    entries.iter().try_for_each(|entry| read(entry, inputs))
}

fn run(target: fn(&[u8]), input: &[u8]) -> io::Result<()> {
    panic::catch_unwind(|| target(input)).or_else(|_| {
        fs::write("crash", input)?;
        Err(io::Error::other("the target broke; its input is in ./crash"))
    })
}

/// xorshift64: good enough to choose places.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound.max(1)
    }

    /// One input with a few places changed.
    fn change(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut input = inputs[self.below(inputs.len())].clone();
        for _ in 0..=self.below(4) {
            let at = self.below(input.len() + 1);
            let end = (at + self.below(6)).min(input.len());
            match self.below(5) {
                0 => drop(input.drain(at..end)),
                1 => drop(input.splice(at..end, ODD[self.below(ODD.len())].iter().copied())),
                2 if at < input.len() => input[at] = self.below(256) as u8,
                3 => {
                    let other = &inputs[self.below(inputs.len())];
                    let from = self.below(other.len() + 1);
                    let to = from + self.below(other.len() + 1 - from);
                    drop(input.splice(at..at, other[from..to].iter().copied()));
                }
                _ => {
                    let piece = input[at..end].to_vec();
                    drop(input.splice(at..at, piece));
                }
            }
        }
        input
    }
}
