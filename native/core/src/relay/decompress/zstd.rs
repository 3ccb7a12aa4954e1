//! Zstandard (RFC 8878) block by block, as the blocks of its frames come in.

use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

use super::{Bounded, DecompressError};

/// Largest window that a frame may ask for: what RFC 9659 grants to HTTP.
const MAX_WINDOW_BYTES: u64 = 8 * 1024 * 1024;
/// Longest frame header: magic, descriptor, window, dictionary, content size.
const MAX_HEADER_BYTES: usize = 18;
/// Largest block without its header.
const MAX_BLOCK_BYTES: usize = 128 * 1024;

/// Decodes frames; input is held until a block of it is whole.
#[derive(Default)]
pub(super) struct Zstd {
    pub(super) out: Bounded,
    decoder: Option<FrameDecoder>,
    held: Vec<u8>,
    in_frame: bool,
    has_checksum: bool,
    /// Bytes of a skippable frame still to come.
    to_skip: usize,
    any_frame: bool,
}

impl Zstd {
    pub(super) fn push(&mut self, input: &[u8]) -> Result<(), DecompressError> {
        self.held.extend_from_slice(input);
        let mut used = 0;
        loop {
            let step = self.step(used)?;
            if step == 0 {
                break;
            }
            used += step;
        }
        self.held.drain(..used);
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result<(), DecompressError> {
        let whole = self.held.is_empty() && !self.in_frame && self.to_skip == 0 && self.any_frame;
        if whole { Ok(()) } else { Err(DecompressError::Cut) }
    }

    /// Decodes what begins at `from`; how many bytes that took, 0 if it is not whole yet.
    fn step(&mut self, from: usize) -> Result<usize, DecompressError> {
        let rest = &self.held[from..];
        if rest.is_empty() {
            return Ok(0);
        }
        if self.to_skip > 0 {
            let skipped = self.to_skip.min(rest.len());
            self.to_skip -= skipped;
            return Ok(skipped);
        }
        let decoder = self.decoder.get_or_insert_with(|| {
            let mut decoder = FrameDecoder::new();
            decoder.set_max_window_size(MAX_WINDOW_BYTES);
            decoder
        });
        let mut source = rest;
        if !self.in_frame {
            return match decoder.reset(&mut source) {
                Ok(()) => {
                    self.in_frame = true;
                    self.any_frame = true;
                    // RFC 8878 section 3.1.1.1.1: the descriptor follows the magic number.
                    self.has_checksum = rest[4] & 4 != 0;
                    Ok(rest.len() - source.len())
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    self.to_skip = length as usize;
                    self.any_frame = true;
                    Ok(8)
                }
                Err(_) if rest.len() < MAX_HEADER_BYTES => Ok(0),
                Err(_) => Err(DecompressError::Damaged),
            };
        }
        let Some(size) = block_bytes(rest, self.has_checksum)? else { return Ok(0) };
        source = &rest[..size];
        decoder
            .decode_blocks(&mut source, BlockDecodingStrategy::UptoBlocks(1))
            .map_err(|_| DecompressError::Damaged)?;
        decoder.collect_to_writer(&mut self.out).map_err(|_| DecompressError::Damaged)?;
        if decoder.is_finished() {
            self.in_frame = false;
            let stated = decoder.get_checksum_from_data();
            if stated.is_some() && stated != decoder.get_calculated_checksum() {
                return Err(DecompressError::Damaged);
            }
        }
        Ok(size)
    }
}

/// The bytes of the block that `rest` begins with, the frame's checksum included behind the last one; `None` if
/// they are not all there.
fn block_bytes(rest: &[u8], has_checksum: bool) -> Result<Option<usize>, DecompressError> {
    let &[a, b, c, ..] = rest else { return Ok(None) };
    let header = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
    let content = match header >> 1 & 3 {
        1 => 1,
        0 | 2 => header >> 3,
        _ => return Err(DecompressError::Damaged),
    };
    if content > MAX_BLOCK_BYTES {
        return Err(DecompressError::Damaged);
    }
    let checksum = if has_checksum && header & 1 == 1 { 4 } else { 0 };
    let size = 3 + content + checksum;
    Ok((rest.len() >= size).then_some(size))
}
