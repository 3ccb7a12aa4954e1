//! A vocabulary as a flat table in a file, and the search for a token in it. `scripts/tokens_tables.py` writes the
//! files and says what stands where.

use std::{fs::File, io, io::Read, path::Path};

use super::map::Map;

const MAGIC: &[u8] = b"penstok1";
const HEADER: usize = 64;
const NAME: std::ops::Range<usize> = 8..24;
const CRC: std::ops::Range<usize> = 40..44;
/// Bytes of the ranks of all pairs of bytes.
const PAIRS: usize = 4 << 16;
const SLOT: usize = 16;
/// Tokens up to this many bytes stand in their slot.
const INLINE: usize = 12;
const LENGTH_BIT: u32 = 32;
const RANK_BIT: u32 = 40;
const K0: u64 = 0x9e37_79b9_7f4a_7c15;
const K1: u64 = 0xd1b5_4a32_d192_ed03;

/// The rank of what is no token.
pub(super) const NONE: u32 = u32::MAX;

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no such encoding: there are o200k_base and cl100k_base")]
    Unknown,
    #[error("it is no table of tokens that this version knows")]
    Foreign,
    #[error("it is the table of {found}, not of {expected}")]
    Other { found: String, expected: &'static str },
    #[error("it is damaged: checksum {found:08x}, expected {expected:08x}")]
    Damaged { found: u32, expected: u32 },
}

/// A vocabulary: at most 6 MB of a file, mapped.
#[derive(Debug)]
pub(super) struct Table {
    map: Map,
    slots: usize,
    longest: usize,
}

impl Table {
    /// Reads the file once to check it, about a millisecond; of the mapping only what is used later gets loaded.
    pub fn open(path: &Path, name: &'static str) -> Result<Self, TableError> {
        let mut file = File::open(path)?;
        let mut head = [0; HEADER];
        file.read_exact(&mut head).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => TableError::Foreign,
            _ => TableError::Io(e),
        })?;
        if !head.starts_with(MAGIC) {
            return Err(TableError::Foreign);
        }
        let word = |at| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (tokens, slots, bytes, longest) = (word(24), word(28), word(32), word(36));
        let mut sum = crc32fast::Hasher::new();
        sum.update(&head[..CRC.start]);
        sum.update(&head[CRC.end..]);
        let mut piece = vec![0; 64 * 1024];
        let mut len = HEADER;
        loop {
            match file.read(&mut piece)? {
                0 => break,
                n => {
                    sum.update(&piece[..n]);
                    len += n;
                }
            }
        }
        let (found, expected) = (sum.finalize(), word(CRC.start));
        if found != expected {
            return Err(TableError::Damaged { found, expected });
        }
        let is = head[NAME].split(|b| *b == 0).next().unwrap_or_default();
        if is != name.as_bytes() {
            return Err(TableError::Other { found: String::from_utf8_lossy(is).into(), expected: name });
        }
        let (slots, longest) = (slots as usize, longest as usize);
        if tokens as usize >= slots || len != HEADER + PAIRS + slots * SLOT + bytes as usize {
            return Err(TableError::Foreign);
        }
        Ok(Self { map: Map::new(&file, len)?, slots, longest })
    }

    /// What to search in.
    pub fn view(&self) -> Vocabulary<'_> {
        let (pairs, rest) = self.map[HEADER..].split_at(PAIRS);
        let (slots, bytes) = rest.split_at(self.slots * SLOT);
        Vocabulary { pairs: pairs.as_chunks().0, slots: slots.as_chunks().0, bytes, longest: self.longest }
    }
}

/// The tokens of an encoding with their ranks.
pub(super) struct Vocabulary<'a> {
    pairs: &'a [[u8; 4]],
    slots: &'a [[u8; SLOT]],
    bytes: &'a [u8],
    longest: usize,
}

impl Vocabulary<'_> {
    /// The rank of two bytes together, or [`NONE`].
    #[inline]
    pub fn pair(&self, first: u8, second: u8) -> u32 {
        u32::from_le_bytes(self.pairs[usize::from(first) << 8 | usize::from(second)])
    }

    /// The rank of what stands from `at` to `end` in a text; [`NONE`] if it is no token.
    #[inline]
    pub fn rank(&self, text: &[u8], at: usize, end: usize) -> u32 {
        let len = end - at;
        if len > INLINE {
            return self.rank_long(&text[at..end]);
        }
        let (first, second) = key(text, at, len);
        self.search(mixed(first ^ K0, second ^ K1), |slot| slot == (first, second))
    }

    #[cold]
    fn rank_long(&self, token: &[u8]) -> u32 {
        if token.len() > self.longest {
            return NONE;
        }
        let hash = token.chunks(16).fold(K0 ^ token.len() as u64, |state, piece| {
            let (first, second) = halves(piece);
            mixed(first ^ state, second ^ K1)
        });
        self.search(hash, |(first, second)| {
            let at = second as u32 as usize;
            let is_long = second >> LENGTH_BIT == token.len() as u64 && first == hash;
            is_long && self.bytes.get(at..at + token.len()) == Some(token)
        })
    }

    /// Looks through the slots of a hash for one that is right: its first word, and its second without the rank.
    #[inline]
    fn search(&self, hash: u64, is_right: impl Fn((u64, u64)) -> bool) -> u32 {
        let mut at = (((hash >> 32) * self.slots.len() as u64) >> 32) as usize;
        // A third of the slots is empty, so this ends soon.
        while let Some(slot) = self.slots.get(at) {
            let (first, second) = halves(slot);
            let known = second & ((1 << RANK_BIT) - 1);
            if is_right((first, known)) {
                return (second >> RANK_BIT) as u32;
            }
            if second == 0 {
                return NONE;
            }
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
        NONE
    }
}

/// The two words of a slot that holds a short token, without its rank.
#[inline]
fn key(text: &[u8], at: usize, len: usize) -> (u64, u64) {
    /// What remains of two words when so many bytes are kept.
    const KEPT: [(u64, u64); INLINE + 1] = {
        let mut kept = [(0, 0); INLINE + 1];
        let mut len = 1;
        while len <= INLINE {
            let all = u128::MAX >> (128 - 8 * len);
            kept[len] = (all as u64, (all >> 64) as u64);
            len += 1;
        }
        kept
    };
    // Behind the token stands more of the text, unless it ends here.
    let (first, second) = match text[at..].first_chunk::<16>() {
        Some(chunk) => halves(chunk),
        None => halves(&text[at..at + len]),
    };
    let kept = KEPT[len];
    (first & kept.0, second & kept.1 | (len as u64) << LENGTH_BIT)
}

/// Up to 16 bytes as two words, with zeros behind their end.
#[inline]
fn halves(piece: &[u8]) -> (u64, u64) {
    let all = match piece.first_chunk() {
        Some(chunk) => u128::from_le_bytes(*chunk),
        None => piece.iter().rev().fold(0, |all, byte| all << 8 | u128::from(*byte)),
    };
    (all as u64, (all >> 64) as u64)
}

/// Both halves of a product of 128 bits, folded.
#[inline]
fn mixed(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}
