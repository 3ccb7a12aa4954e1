//! Decodes a compressed answer as it comes, within bounds.

mod zstd;

use std::io::{self, Write};

use brotli_decompressor::DecompressorWriter;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use zstd::Zstd;

/// Output that is allowed whatever the input was.
const SLACK_BYTES: u64 = 1024 * 1024;
/// Bytes of output that each byte of input may make beyond that. Chats compress to a tenth; bombs to a thousandth.
const MAX_RATIO: u64 = 200;

/// The content codings that can be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    /// Reads a `content-encoding` value; `Ok(None)` is identity, `Err` a coding or a list that is not known.
    pub fn of(value: &[u8]) -> Result<Option<Self>, UnknownCoding> {
        let value = value.trim_ascii();
        let is = |name: &str| value.eq_ignore_ascii_case(name.as_bytes());
        if value.is_empty() || is("identity") {
            Ok(None)
        } else if is("gzip") || is("x-gzip") {
            Ok(Some(Self::Gzip))
        } else if is("deflate") {
            Ok(Some(Self::Deflate))
        } else if is("br") {
            Ok(Some(Self::Brotli))
        } else if is("zstd") {
            Ok(Some(Self::Zstd))
        } else {
            Err(UnknownCoding)
        }
    }
}

/// A `content-encoding` that is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("content-encoding is none of gzip, deflate, br and zstd")]
pub struct UnknownCoding;

/// Why an answer could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecompressError {
    #[error("the compressed answer is damaged")]
    Damaged,
    #[error("the compressed answer ends too early")]
    Cut,
    #[error("the compressed answer unpacks to more than is allowed")]
    TooLarge,
}

/// Decodes one body.
///
/// What a piece of input allows to decode comes out at once, except with zstd: its decoder keeps back a whole
/// window (megabytes) until the frame ends.
pub struct Decompress {
    decoder: Decoder,
    taken: u64,
    max_bytes: u64,
}

enum Decoder {
    Gzip(Box<MultiGzDecoder<Bounded>>),
    /// `deflate` is zlib by the standard and bare deflate by some servers: the first two bytes tell.
    Undecided(Vec<u8>),
    Zlib(Box<ZlibDecoder<Bounded>>),
    Deflate(Box<DeflateDecoder<Bounded>>),
    Brotli(Box<DecompressorWriter<Bounded>>),
    Zstd(Box<Zstd>),
    /// A failure was reported: nothing more comes.
    Failed(DecompressError),
}

impl Decompress {
    /// `max_bytes` bounds the whole output; the ratio of output to input is bounded too.
    pub fn new(coding: Coding, max_bytes: u64) -> Self {
        let decoder = match coding {
            Coding::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(Bounded::default()))),
            Coding::Deflate => Decoder::Undecided(Vec::new()),
            Coding::Brotli => Decoder::Brotli(Box::new(DecompressorWriter::new(Bounded::default(), 4096))),
            Coding::Zstd => Decoder::Zstd(Box::default()),
        };
        Self { decoder, taken: 0, max_bytes }
    }

    /// Appends all that `input` allows to decode.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), DecompressError> {
        self.taken += input.len() as u64;
        self.run(out, |decoder, max| decoder.push(input, max))
    }

    /// The body has ended: was it whole?
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), DecompressError> {
        self.run(out, |decoder, _| decoder.finish())
    }

    fn run(
        &mut self,
        out: &mut Vec<u8>,
        work: impl FnOnce(&mut Decoder, u64) -> Result<(), DecompressError>,
    ) -> Result<(), DecompressError> {
        if let Decoder::Failed(error) = self.decoder {
            return Err(error);
        }
        let max = self.max_bytes.min(SLACK_BYTES + self.taken.saturating_mul(MAX_RATIO));
        if let Some(bounded) = self.decoder.bounded() {
            bounded.max = max;
        }
        let mut done = work(&mut self.decoder, max);
        if let Some(bounded) = self.decoder.bounded() {
            if bounded.full {
                done = Err(DecompressError::TooLarge);
            }
            out.append(&mut bounded.out);
        }
        if let Err(error) = done {
            self.decoder = Decoder::Failed(error);
        }
        done
    }
}

impl Decoder {
    fn bounded(&mut self) -> Option<&mut Bounded> {
        match self {
            Self::Gzip(d) => Some(d.get_mut()),
            Self::Zlib(d) => Some(d.get_mut()),
            Self::Deflate(d) => Some(d.get_mut()),
            Self::Brotli(d) => Some(d.get_mut()),
            Self::Zstd(d) => Some(&mut d.out),
            Self::Undecided(_) | Self::Failed(_) => None,
        }
    }

    fn push(&mut self, input: &[u8], max: u64) -> Result<(), DecompressError> {
        let damaged = |_| DecompressError::Damaged;
        match self {
            Self::Gzip(d) => d.write_all(input).and_then(|()| d.flush()).map_err(damaged),
            Self::Zlib(d) => d.write_all(input).and_then(|()| d.flush()).map_err(damaged),
            Self::Deflate(d) => d.write_all(input).and_then(|()| d.flush()).map_err(damaged),
            Self::Brotli(d) => d.write_all(input).map_err(damaged),
            Self::Zstd(d) => d.push(input),
            Self::Failed(error) => Err(*error),
            Self::Undecided(held) => {
                held.extend_from_slice(input);
                let &[method, flags, ..] = held.as_slice() else { return Ok(()) };
                // RFC 1950 section 2.2.
                let is_zlib = method & 15 == 8 && u16::from_be_bytes([method, flags]) % 31 == 0;
                let held = std::mem::take(held);
                let bounded = Bounded { max, ..Bounded::default() };
                *self = if is_zlib {
                    Self::Zlib(Box::new(ZlibDecoder::new(bounded)))
                } else {
                    Self::Deflate(Box::new(DeflateDecoder::new(bounded)))
                };
                self.push(&held, max)
            }
        }
    }

    fn finish(&mut self) -> Result<(), DecompressError> {
        let cut = |_| DecompressError::Cut;
        match self {
            Self::Gzip(d) => d.try_finish().map_err(cut),
            Self::Zlib(d) => d.try_finish().map_err(cut),
            Self::Deflate(d) => d.try_finish().map_err(cut),
            Self::Brotli(d) => d.close().map_err(cut),
            Self::Zstd(d) => d.finish(),
            Self::Undecided(_) => Err(DecompressError::Cut),
            Self::Failed(error) => Err(*error),
        }
    }
}

/// Takes output up to a bound.
#[derive(Default)]
struct Bounded {
    out: Vec<u8>,
    total: u64,
    max: u64,
    full: bool,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.total += bytes.len() as u64;
        if self.total > self.max {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
