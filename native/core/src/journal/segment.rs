//! The head of a segment: whose it is, where its chain begins, and how much of the one before it counts.

use super::entry::{Chain, HASH_BYTES};

const MAGIC: &[u8; 8] = b"penjrnl\x01";
const INSTANCE_BYTES: usize = 32;
pub const HEADER_BYTES: usize = 8 + INSTANCE_BYTES + 4 * 8 + HASH_BYTES + 4;

/// What stands before the first entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub instance: String,
    /// From 1; goes up by one.
    pub number: u64,
    /// What the first entry follows.
    pub chain: Chain,
    /// Bytes of the segment before it that count: what stands behind them was written again here.
    pub previous_bytes: u64,
    /// Microseconds UTC.
    pub created_us: u64,
}

impl Header {
    pub fn write(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend(MAGIC);
        let name = &self.instance.as_bytes()[..self.instance.len().min(INSTANCE_BYTES)];
        out.extend(name);
        out.resize(begin + MAGIC.len() + INSTANCE_BYTES, 0);
        for number in [self.number, self.chain.sequence, self.previous_bytes, self.created_us] {
            out.extend(number.to_le_bytes());
        }
        out.extend(self.chain.hash);
        out.extend(crc32c::crc32c(&out[begin..]).to_le_bytes());
    }

    /// `None`: it is cut, damaged or something else.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return None;
        }
        let rest = body.strip_prefix(MAGIC)?;
        let (name, mut rest) = rest.split_at_checked(INSTANCE_BYTES)?;
        let name = name.split(|byte| *byte == 0).next()?;
        let mut numbers = [0; 4];
        for number in &mut numbers {
            let (bytes, after) = rest.split_first_chunk()?;
            (*number, rest) = (u64::from_le_bytes(*bytes), after);
        }
        let [number, sequence, previous_bytes, created_us] = numbers;
        let chain = Chain { sequence, hash: rest.try_into().ok()? };
        let instance = std::str::from_utf8(name).ok()?.to_owned();
        Some(Self { instance, number, chain, previous_bytes, created_us })
    }
}

/// How the name of a file ends that is to take a segment's place.
pub const ASIDE: &str = "forgotten";

/// The name of a segment's file; damaged ones are set aside under another.
pub fn file_name(number: u64, damaged: bool) -> String {
    format!("{number:010}.{}", if damaged { "damaged" } else { "segment" })
}

/// The number of a segment's file and whether it was set aside; `None`: it is something else.
pub fn parse_name(name: &str) -> Option<(u64, bool)> {
    let (number, ending) = name.split_once('.')?;
    let damaged = match ending {
        "segment" => false,
        "damaged" => true,
        _ => return None,
    };
    let number = number.parse().ok().filter(|_| number.len() >= 10)?;
    Some((number, damaged))
}
