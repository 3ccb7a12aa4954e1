//! Bodies decoded where they lie: fixed, chunked (RFC 9112, 7.1) or until the connection ends.

use super::{
    chars::{hex_digit, is_token, is_value},
    head::Framing,
};

/// Bounds on what a chunked body may carry besides its payload, over the whole body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    pub extension_bytes: u32,
    pub trailer_bytes: u32,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self { extension_bytes: 1024, trailer_bytes: 8 * 1024 }
    }
}

/// Why a body is refused. The connection cannot be used after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the connection ended inside the body")]
    Cut,
    #[error("a chunk size that is not 1 to 16 hexadecimal digits")]
    ChunkSize,
    #[error("a malformed chunk extension")]
    ChunkExtension,
    #[error("chunk extensions beyond their bound")]
    ExtensionsTooLarge,
    #[error("a chunk line that does not end with CR LF")]
    ChunkLine,
    #[error("chunk data not followed by CR LF")]
    ChunkEnd,
    #[error("a malformed trailer")]
    Trailer,
    #[error("trailers beyond their bound")]
    TrailersTooLarge,
}

/// What one call of [`BodyDecoder::decode`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of payload, now at the front.
    pub payload: usize,
    /// Bytes read; all of them unless the end of the body was met.
    pub consumed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Done,
    Fixed,
    UntilClose,
    Size,
    ExtensionStart,
    ExtensionName,
    ExtensionValueStart,
    ExtensionValue,
    ExtensionQuoted,
    ExtensionEscape,
    ExtensionQuoteEnd,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    /// Nothing behind a fault is looked at: it might be taken for the end.
    Failed(BodyError),
}

/// Names that no trailer may have (RFC 9110 §6.5.1), folded: a peer that merged them into the head would read another
/// message than we do. Another name that folds alike is refused as well, which harms nobody.
const FRAMING: [u64; 3] = [folded(b"content-length"), folded(b"transfer-encoding"), folded(b"host")];

/// The FNV-1a hash of a name in lower case, one byte further.
const fn fold_name(hash: u64, byte: u8) -> u64 {
    (hash ^ byte.to_ascii_lowercase() as u64).wrapping_mul(0x0100_0000_01b3)
}

const fn folded(name: &[u8]) -> u64 {
    let (mut hash, mut at) = (0, 0);
    while at < name.len() {
        hash = fold_name(hash, name[at]);
        at += 1;
    }
    hash
}

/// The size of a chunk and the length of its line, if that is whole, of at most seven digits and without an extension,
/// and the chunk is not the last one: as nearly all are. What any other is, [`BodyDecoder::step`] tells.
#[inline]
fn usual_line(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut length = 0;
    for (digits, &byte) in bytes.iter().take(8).enumerate() {
        let Some(digit) = hex_digit(byte) else {
            let is_whole = length > 0 && bytes[digits..].starts_with(b"\r\n");
            return is_whole.then_some((length, digits + 2));
        };
        length = (length << 4) | u64::from(digit);
    }
    None
}

/// An incremental decoder; trailers are checked, bounded and dropped.
#[derive(Clone, Debug)]
pub struct BodyDecoder {
    /// Left of a fixed body or of the current chunk; in a trailer's name, the name so far, folded.
    left: u64,
    limits: BodyLimits,
    digits: u8,
    state: State,
}

impl BodyDecoder {
    pub fn new(framing: Framing, limits: &BodyLimits) -> Self {
        let (state, left) = match framing {
            Framing::Empty | Framing::Fixed(0) => (State::Done, 0),
            Framing::Fixed(length) => (State::Fixed, length),
            Framing::Chunked => (State::Size, 0),
            Framing::UntilClose => (State::UntilClose, 0),
        };
        Self { left, limits: *limits, digits: 0, state }
    }

    /// Decodes `bytes` in place: the payload is moved to the front. An error is the last of this body, whatever comes.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<Decoded, BodyError> {
        self.decode_next(bytes).inspect_err(|error| self.state = State::Failed(*error))
    }

    fn decode_next(&mut self, bytes: &mut [u8]) -> Result<Decoded, BodyError> {
        let (mut at, mut payload) = (0, 0);
        while at < bytes.len() {
            match self.state {
                State::Done => break,
                State::Failed(error) => return Err(error),
                State::Fixed | State::Data => {
                    let n = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    if at != payload {
                        bytes.copy_within(at..at + n, payload);
                    }
                    at += n;
                    payload += n;
                    self.left -= n as u64;
                    if self.left == 0 {
                        self.state = if self.state == State::Fixed { State::Done } else { State::DataCr };
                    }
                }
                State::UntilClose => (at, payload) = (bytes.len(), bytes.len()),
                State::DataCr if bytes[at..].starts_with(b"\r\n") => {
                    self.state = State::Size;
                    self.digits = 0;
                    at += 2;
                }
                _ => match self.enter_chunk(&bytes[at..]) {
                    0 => {
                        self.state = self.step(bytes[at])?;
                        at += 1;
                    }
                    line => at += line,
                },
            }
        }
        Ok(Decoded { payload, consumed: at })
    }

    /// Takes the line of the chunk that begins here, if it is a usual one and some of its data is here too; how many bytes
    /// that was.
    pub fn enter_chunk(&mut self, bytes: &[u8]) -> usize {
        if self.state != State::Size || self.digits > 0 {
            return 0;
        }
        match usual_line(bytes) {
            Some((length, line)) if line < bytes.len() => {
                (self.state, self.left) = (State::Data, length);
                line
            }
            _ => 0,
        }
    }

    /// One byte of chunked framing.
    fn step(&mut self, byte: u8) -> Result<State, BodyError> {
        Ok(match self.state {
            State::Size => return self.size(byte),
            State::SizeLf if byte != b'\n' => return Err(BodyError::ChunkLine),
            State::SizeLf if self.left == 0 => State::TrailerStart,
            State::SizeLf => State::Data,
            State::DataCr if byte == b'\r' => State::DataLf,
            State::DataLf if byte == b'\n' => {
                self.digits = 0;
                State::Size
            }
            State::DataCr | State::DataLf => return Err(BodyError::ChunkEnd),
            State::EndLf if byte == b'\n' => State::Done,
            State::TrailerStart if byte == b'\r' => State::EndLf,
            State::TrailerStart | State::TrailerName | State::TrailerValue | State::TrailerLf | State::EndLf => {
                return self.trailer(byte);
            }
            _ => return self.extension(byte),
        })
    }

    fn size(&mut self, byte: u8) -> Result<State, BodyError> {
        match (byte, hex_digit(byte)) {
            (_, Some(digit)) if self.digits < 16 => {
                self.left = (self.left << 4) | u64::from(digit);
                self.digits += 1;
                Ok(State::Size)
            }
            (b'\r', None) if self.digits > 0 => Ok(State::SizeLf),
            (b';', None) if self.digits > 0 => Ok(State::ExtensionStart),
            _ => Err(BodyError::ChunkSize),
        }
    }

    /// `;name`, `;name=token` or `;name="quoted"`, without the white space that the grammar calls bad.
    fn extension(&mut self, byte: u8) -> Result<State, BodyError> {
        let Some(left) = self.limits.extension_bytes.checked_sub(1) else {
            return Err(BodyError::ExtensionsTooLarge);
        };
        self.limits.extension_bytes = left;
        let printable = matches!(byte, b'\t' | b' '..=b'~');
        Ok(match (self.state, byte) {
            (State::ExtensionName | State::ExtensionValue | State::ExtensionQuoteEnd, b'\r') => State::SizeLf,
            (State::ExtensionName | State::ExtensionValue | State::ExtensionQuoteEnd, b';') => State::ExtensionStart,
            (State::ExtensionStart | State::ExtensionName, _) if is_token(byte) => State::ExtensionName,
            (State::ExtensionName, b'=') => State::ExtensionValueStart,
            (State::ExtensionValueStart | State::ExtensionValue, _) if is_token(byte) => State::ExtensionValue,
            (State::ExtensionValueStart, b'"') => State::ExtensionQuoted,
            (State::ExtensionQuoted, b'"') => State::ExtensionQuoteEnd,
            (State::ExtensionQuoted, b'\\') => State::ExtensionEscape,
            (State::ExtensionQuoted | State::ExtensionEscape, _) if printable => State::ExtensionQuoted,
            _ => return Err(BodyError::ChunkExtension),
        })
    }

    fn trailer(&mut self, byte: u8) -> Result<State, BodyError> {
        let Some(left) = self.limits.trailer_bytes.checked_sub(1) else {
            return Err(BodyError::TrailersTooLarge);
        };
        self.limits.trailer_bytes = left;
        Ok(match (self.state, byte) {
            (State::TrailerStart | State::TrailerName, _) if is_token(byte) => {
                self.left = fold_name(self.left, byte);
                State::TrailerName
            }
            (State::TrailerName, b':') if FRAMING.contains(&self.left) => return Err(BodyError::Trailer),
            (State::TrailerName, b':') => {
                self.left = 0;
                State::TrailerValue
            }
            (State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerValue, _) if is_value(byte) => State::TrailerValue,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            _ => return Err(BodyError::Trailer),
        })
    }

    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The connection ended: the end of a body until close, a cut for any other that is not done.
    pub fn at_eof(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            State::Failed(error) => Err(error),
            _ => Err(BodyError::Cut),
        }
    }

    /// How many bytes of payload are still to come, where that is known.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Done => Some(0),
            State::Fixed => Some(self.left),
            _ => None,
        }
    }
}
