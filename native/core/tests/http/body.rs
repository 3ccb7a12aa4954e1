//! Bodies: every chopping decodes alike, bounds hold, ends are known from cuts.

use penstock_core::http::{BodyDecoder, BodyError, BodyLimits, Framing};
use proptest::prelude::*;

/// Decodes `bytes` in pieces; payload, how much was consumed, and how it went.
fn decode(framing: Framing, bytes: &[u8], sizes: &[usize]) -> (Vec<u8>, usize, Result<bool, BodyError>) {
    let mut decoder = BodyDecoder::new(framing, &BodyLimits::default());
    let (mut payload, mut at) = (Vec::new(), 0);
    let mut sizes = sizes.iter().cycle();
    while at < bytes.len() && !decoder.is_done() {
        let n = sizes.next().map_or(usize::MAX, |n| *n).clamp(1, bytes.len() - at);
        let mut piece = bytes[at..at + n].to_vec();
        match decoder.decode(&mut piece) {
            Ok(decoded) => {
                assert!(decoded.consumed == n || decoder.is_done(), "all is consumed before the end");
                payload.extend_from_slice(&piece[..decoded.payload]);
                at += decoded.consumed;
            }
            Err(error) => return (payload, at, Err(error)),
        }
    }
    (payload, at, Ok(decoder.is_done()))
}

fn chunked(bytes: &[u8]) -> Result<Vec<u8>, BodyError> {
    let (payload, consumed, done) = decode(Framing::Chunked, bytes, &[]);
    assert!(done?, "the body ends");
    assert_eq!(consumed, bytes.len());
    Ok(payload)
}

#[test]
fn chunks_are_joined_in_place() {
    let mut bytes = *b"3\r\nabc\r\n00a;x;y=z;q=\"\\\"; \"\r\n0123456789\r\n0\r\nTrailer: a b\r\nX:\r\n\r\nNEXT";
    let mut decoder = BodyDecoder::new(Framing::Chunked, &BodyLimits::default());
    let decoded = decoder.decode(&mut bytes).unwrap();
    assert!(decoder.is_done());
    assert_eq!(&bytes[..decoded.payload], b"abc0123456789");
    assert_eq!(&bytes[decoded.consumed..], b"NEXT");
}

#[test]
fn only_the_whole_line_of_a_chunk_with_data_behind_it_is_passed_over() {
    let entered = |bytes: &[u8]| {
        let mut decoder = BodyDecoder::new(Framing::Chunked, &BodyLimits::default());
        (decoder.enter_chunk(bytes), decoder)
    };
    for other in
        [&b"3"[..], b"3\r", b"3\r\n", b"3;x\r\nabc", b"3 \r\nabc", b"\r\nabc", b"0\r\n\r\n", b"00000003\r\nabc"]
    {
        assert_eq!(entered(other).0, 0, "{}", other.escape_ascii());
    }
    let (line, mut decoder) = entered(b"00aF\r\nx");
    assert_eq!((line, decoder.enter_chunk(b"3\r\nabc")), (6, 0));
    let mut data = [b'x'; 0xaf + 2];
    data[0xaf..].copy_from_slice(b"\r\n");
    assert_eq!(decoder.decode(&mut data).unwrap().payload, 0xaf);
    assert_eq!(decoder.enter_chunk(b"3\r\nabc"), 3);
}

#[test]
fn sizes_of_16_digits_are_the_longest() {
    assert_eq!(chunked(b"0000000000000003\r\nabc\r\n0000000000000000\r\n\r\n"), Ok(b"abc".to_vec()));
    let (payload, _, result) = decode(Framing::Chunked, b"ffffffffffffffff\r\nabc", &[]);
    assert_eq!((payload, result), (b"abc".to_vec(), Ok(false)));
    let (.., result) = decode(Framing::Chunked, b"00000000000000003\r\n", &[]);
    assert_eq!(result, Err(BodyError::ChunkSize));
}

#[test]
fn extensions_and_trailers_are_bounded_over_the_whole_body() {
    let one = [&b"1;"[..], &[b'a'; 98], b"\r\nx\r\n"].concat();
    let ten = [&one.repeat(10)[..], b"0\r\n\r\n"].concat();
    assert_eq!(chunked(&ten), Ok(vec![b'x'; 10]));
    let eleven = [&one.repeat(11)[..], b"0\r\n\r\n"].concat();
    assert_eq!(chunked(&eleven), Err(BodyError::ExtensionsTooLarge));
    let trailers =
        |n: usize| [&b"0\r\n"[..], &[&b"a: "[..], &[b'b'; 59], b"\r\n"].concat().repeat(n), b"\r\n"].concat();
    assert_eq!(chunked(&trailers(128)), Ok(Vec::new()));
    assert_eq!(chunked(&trailers(129)), Err(BodyError::TrailersTooLarge));
}

#[test]
fn the_end_of_a_connection_is_an_end_only_where_the_framing_says_so() {
    let at_eof = |framing, bytes: &mut [u8]| {
        let mut decoder = BodyDecoder::new(framing, &BodyLimits::default());
        decoder.decode(bytes).unwrap();
        let result = decoder.at_eof();
        assert_eq!(decoder.is_done(), result.is_ok());
        result
    };
    assert_eq!(at_eof(Framing::UntilClose, &mut b"abc".to_vec()), Ok(()));
    assert_eq!(at_eof(Framing::Fixed(4), &mut b"abc".to_vec()), Err(BodyError::Cut));
    assert_eq!(at_eof(Framing::Fixed(3), &mut b"abc".to_vec()), Ok(()));
    assert_eq!(at_eof(Framing::Empty, &mut []), Ok(()));
    assert_eq!(at_eof(Framing::Chunked, &mut b"3\r\nabc\r\n".to_vec()), Err(BodyError::Cut));
    assert_eq!(at_eof(Framing::Chunked, &mut b"0\r\n".to_vec()), Err(BodyError::Cut));
}

#[test]
fn what_remains_is_told_where_it_is_known() {
    let mut decoder = BodyDecoder::new(Framing::Fixed(5), &BodyLimits::default());
    assert_eq!(decoder.remaining(), Some(5));
    decoder.decode(&mut b"ab".to_vec()).unwrap();
    assert_eq!(decoder.remaining(), Some(3));
    assert_eq!(BodyDecoder::new(Framing::Chunked, &BodyLimits::default()).remaining(), None);
    assert_eq!(BodyDecoder::new(Framing::Empty, &BodyLimits::default()).remaining(), Some(0));
}

fn arb_chunked() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let chunk =
        (prop::collection::vec(any::<u8>(), 1..40), "(;[a-z]{1,5}(=[a-z]{1,3}|=\"[ -!#-Z]{0,5}\")?){0,2}", 0..3usize);
    let trailer = "([A-Za-z-]{1,8}: ?[ -~]{0,10}\r\n){0,3}";
    (prop::collection::vec(chunk, 0..6), trailer).prop_map(|(chunks, trailers)| {
        let (mut wire, mut payload) = (Vec::new(), Vec::new());
        for (data, extension, zeros) in chunks {
            wire.extend_from_slice(format!("{}{:X}{extension}\r\n", "0".repeat(zeros), data.len()).as_bytes());
            wire.extend_from_slice(&data);
            wire.extend_from_slice(b"\r\n");
            payload.extend_from_slice(&data);
        }
        wire.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
        (wire, payload)
    })
}

proptest! {
    #[test]
    fn every_chopping_of_a_chunked_body_gives_its_payload(
        (wire, payload) in arb_chunked(),
        sizes in prop::collection::vec(1..30usize, 0..5),
    ) {
        let beyond = [&wire[..], b"BEYOND"].concat();
        prop_assert_eq!(decode(Framing::Chunked, &beyond, &sizes), (payload, wire.len(), Ok(true)));
    }

    #[test]
    fn every_chopping_of_any_bytes_fails_alike(
        (mut wire, _) in arb_chunked(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        sizes in prop::collection::vec(1..30usize, 0..5),
    ) {
        let at = at.index(wire.len());
        wire[at] = byte;
        let (whole, _, end) = decode(Framing::Chunked, &wire, &[1]);
        let (payload, _, same) = decode(Framing::Chunked, &wire, &sizes);
        prop_assert_eq!(same, end);
        // A failing call reports no payload of its own piece, so pieces may have shown less, never other bytes.
        prop_assert!(whole.starts_with(&payload));
    }
}
