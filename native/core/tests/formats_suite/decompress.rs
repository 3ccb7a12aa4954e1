//! Compressed answers come out whole, at once and within bounds.

use std::io::Write;

use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use penstock_core::relay::decompress::{Coding, Decompress, DecompressError, UnknownCoding};
use proptest::prelude::*;

use crate::json_noise::chop;

const MAX: u64 = 64 * 1024 * 1024;
/// `Hello, brotli! ` twenty times, by the reference encoder.
const BROTLI: &[u8] = include_bytes!("hello.br");
/// The same by the reference zstd encoder, with a checksum.
const ZSTD: &[u8] = include_bytes!("hello.zst");

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zstd(data: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest)
}

fn decode<'a>(
    coding: Coding,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    max: u64,
) -> Result<Vec<u8>, DecompressError> {
    let (mut decoder, mut out) = (Decompress::new(coding, max), Vec::new());
    for piece in pieces {
        decoder.push(piece, &mut out)?;
    }
    decoder.finish(&mut out)?;
    Ok(out)
}

#[test]
fn codings_are_known_by_name() {
    assert_eq!(Coding::of(b" GZIP "), Ok(Some(Coding::Gzip)));
    assert_eq!(Coding::of(b"x-gzip"), Ok(Some(Coding::Gzip)));
    assert_eq!(Coding::of(b"deflate"), Ok(Some(Coding::Deflate)));
    assert_eq!(Coding::of(b"br"), Ok(Some(Coding::Brotli)));
    assert_eq!(Coding::of(b"zstd"), Ok(Some(Coding::Zstd)));
    assert_eq!(Coding::of(b"identity"), Ok(None));
    assert_eq!(Coding::of(b"gzip, br"), Err(UnknownCoding));
}

#[test]
fn reference_encodings_come_out_however_they_are_cut() {
    let text = "Hello, brotli! ".repeat(20);
    for (coding, bytes) in [(Coding::Brotli, BROTLI), (Coding::Zstd, ZSTD)] {
        for size in [1, 2, 3, 7, 1000] {
            assert_eq!(decode(coding, bytes.chunks(size), MAX).unwrap(), text.as_bytes(), "{coding:?} {size}");
        }
    }
}

#[test]
fn several_gzip_members_and_zstd_frames_are_one_body() {
    let members = [gzip(b"one "), gzip(b"two")].concat();
    assert_eq!(decode(Coding::Gzip, [members.as_slice()], MAX).unwrap(), b"one two");
    assert_eq!(decode(Coding::Gzip, members.chunks(1), MAX).unwrap(), b"one two");
    let skippable = b"\x50\x2a\x4d\x18\x03\0\0\0abc";
    let frames = [&zstd(b"one "), skippable.as_slice(), ZSTD].concat();
    let text = ["one ", &"Hello, brotli! ".repeat(20)].concat();
    assert_eq!(decode(Coding::Zstd, [frames.as_slice()], MAX).unwrap(), text.as_bytes());
    assert_eq!(decode(Coding::Zstd, frames.chunks(1), MAX).unwrap(), text.as_bytes());
}

#[test]
fn a_flushed_frame_comes_out_before_the_next_byte() {
    let (mut encoder, mut decoder) =
        (GzEncoder::new(Vec::new(), Compression::fast()), Decompress::new(Coding::Gzip, MAX));
    let mut sent = 0;
    for n in 0..50 {
        let frame = format!("data: {{\"n\":{n}}}\n\n");
        encoder.write_all(frame.as_bytes()).unwrap();
        encoder.flush().unwrap();
        let mut out = Vec::new();
        decoder.push(&encoder.get_ref()[sent..], &mut out).unwrap();
        sent = encoder.get_ref().len();
        assert_eq!(String::from_utf8(out).unwrap(), frame);
    }
}

#[test]
fn a_bomb_is_defused() {
    let zeros = vec![0; 50 * 1024 * 1024];
    for (coding, bytes) in [
        (Coding::Gzip, gzip(&zeros)),
        (Coding::Deflate, zlib(&zeros)),
        (Coding::Deflate, deflate(&zeros)),
        (Coding::Zstd, zstd(&zeros)),
    ] {
        let mut out = Vec::new();
        let mut decoder = Decompress::new(coding, 10 * 1024 * 1024);
        let refused = bytes.chunks(1024).try_for_each(|piece| decoder.push(piece, &mut out));
        assert_eq!(refused, Err(DecompressError::TooLarge), "{coding:?}");
        assert!(out.len() <= 10 * 1024 * 1024);
        assert_eq!(decoder.push(b"x", &mut out), Err(DecompressError::TooLarge));
    }
    // Within the total, but each byte makes a thousand.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&zeros).unwrap();
    assert_eq!(decode(Coding::Gzip, [encoder.finish().unwrap().as_slice()], MAX), Err(DecompressError::TooLarge));
}

#[test]
fn what_is_damaged_cut_or_followed_by_something_is_refused() {
    let text = b"some text that is long enough to be cut somewhere inside";
    for (coding, bytes) in [
        (Coding::Gzip, gzip(text)),
        (Coding::Deflate, zlib(text)),
        (Coding::Deflate, deflate(text)),
        (Coding::Zstd, zstd(text)),
        (Coding::Zstd, ZSTD.to_vec()),
        (Coding::Brotli, BROTLI.to_vec()),
    ] {
        for end in 0..bytes.len() {
            assert!(decode(coding, [&bytes[..end]], MAX).is_err(), "{coding:?} cut at {end}");
        }
        let trailing =
            [bytes.as_slice(), b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"]
                .concat();
        assert!(decode(coding, [trailing.as_slice()], MAX).is_err(), "{coding:?} with a tail");
    }
    let mut damaged = gzip(text);
    let at = damaged.len() - 6;
    damaged[at] ^= 1;
    assert!(decode(Coding::Gzip, [damaged.as_slice()], MAX).is_err());
    let mut damaged = ZSTD.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(decode(Coding::Zstd, [damaged.as_slice()], MAX), Err(DecompressError::Damaged));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn round_trips_hold_however_they_are_cut(
        seed in proptest::collection::vec(any::<u8>(), 0..400),
        repeat in 1_usize..200,
        cuts in proptest::collection::vec(any::<u16>(), 0..10),
    ) {
        let data = seed.repeat(repeat);
        for (coding, bytes) in [
            (Coding::Gzip, gzip(&data)),
            (Coding::Deflate, zlib(&data)),
            (Coding::Deflate, deflate(&data)),
            (Coding::Zstd, zstd(&data)),
        ] {
            prop_assert_eq!(&decode(coding, chop(&bytes, &cuts), MAX).unwrap(), &data, "{:?}", coding);
        }
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd] {
            let _ = decode(coding, [bytes.as_slice()], MAX);
        }
    }
}
