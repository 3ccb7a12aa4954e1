//! One entry of a segment as bytes, little-endian, and its link to the entry before it.
//!
//! | bytes | |
//! |---|---|
//! | 4 | length of what follows the checksum |
//! | 4 | CRC-32C of the length and of all that follows |
//! | 1 | kind |
//! | 1 | private part: 0 none, 1 here, 2 forgotten (its salt and bytes are zeros) |
//! | 2 | zeros |
//! | 4 | length of the public part |
//! | 8 | sequence number, from 1 in each journal |
//! | 32 | SHA-256 of all from the kind to the public part and the digest behind it, with the hash before in this place, and 1 for a private part that was forgotten |
//! | … | public part |
//! | 32 + 16 + … | if there is a private part: SHA-256 of salt and bytes; salt; bytes |
//!
//! Entries are a few hundred bytes: there SHA-256, for which processors have instructions, takes a third of BLAKE3's time.

use aws_lc_rs::digest::{Context, SHA256, digest};

/// Length and checksum.
pub const HEAD_BYTES: usize = 8;
/// All that stands before the public part.
pub const FIXED_BYTES: usize = HEAD_BYTES + 48;
/// Where the hash stands in an entry.
const HASH_AT: usize = FIXED_BYTES - HASH_BYTES;
/// Digest and salt.
const SEAL_BYTES: usize = HASH_BYTES + SALT_BYTES;
pub const HASH_BYTES: usize = 32;
pub const SALT_BYTES: usize = 16;
/// A longer entry is none.
pub const MAX_BYTES: usize = 64 << 10;
/// What the parts of an entry may come to.
pub const MAX_PARTS_BYTES: usize = MAX_BYTES - FIXED_BYTES - SEAL_BYTES;

pub type Hash = [u8; HASH_BYTES];

/// What an entry tells of. A reader passes over kinds that it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A finished request.
    Record = 1,
    /// A stream that began: without its record the process ended in the middle of it.
    Begin = 2,
    /// Entries that were not written: `[1, how many, bytes, first and last time in µs UTC, reason]`.
    Gap = 3,
    /// A segment that was removed: `[1, instance, segment, first sequence, last sequence, hash in hex, reason]`.
    Removed = 4,
    /// The journal ended in order: `[1, time in µs UTC]`.
    End = 5,
}

/// An entry as it stands in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub kind: u8,
    pub sequence: u64,
    pub hash: Hash,
    pub public: &'a [u8],
    /// Digest of the private part; `None`: there never was one.
    pub digest: Option<Hash>,
    /// `None`: there is none, or it was forgotten.
    pub private: Option<&'a [u8]>,
    /// Bytes of the whole entry.
    pub bytes: usize,
    /// Salt and private part as they stand; `None` as for `private`.
    pub sealed: Option<&'a [u8]>,
}

/// Why bytes are no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They end before it does.
    Cut,
    /// They are something else.
    Damaged,
}

impl<'a> Entry<'a> {
    /// The entry that begins at the first byte.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let (length, rest) = bytes.split_first_chunk().ok_or(Fault::Cut)?;
        let length = u32::from_le_bytes(*length) as usize;
        if !(FIXED_BYTES - HEAD_BYTES..=MAX_BYTES - HEAD_BYTES).contains(&length) {
            return Err(Fault::Damaged);
        }
        let (crc, body) = rest.split_first_chunk().ok_or(Fault::Cut)?;
        let body = body.get(..length).ok_or(Fault::Cut)?;
        if checksum(length, body) != u32::from_le_bytes(*crc) {
            return Err(Fault::Damaged);
        }
        Self::parts(body).ok_or(Fault::Damaged)
    }

    fn parts(body: &'a [u8]) -> Option<Self> {
        let bytes = HEAD_BYTES + body.len();
        let (&[kind, state, _, _], rest) = body.split_first_chunk()?;
        let (public, rest) = rest.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (hash, rest) = rest.split_first_chunk()?;
        let (public, rest) = rest.split_at_checked(u32::from_le_bytes(*public) as usize)?;
        let (sequence, hash) = (u64::from_le_bytes(*sequence), *hash);
        let bare = Self { kind, sequence, hash, public, digest: None, private: None, sealed: None, bytes };
        if state == 0 {
            return rest.is_empty().then_some(bare);
        }
        let (digest, rest) = rest.split_first_chunk()?;
        let private = rest.get(SALT_BYTES..)?;
        let digest = Some(*digest);
        match state {
            1 => Some(Self { digest, private: Some(private), sealed: Some(rest), ..bare }),
            2 => Some(Self { digest, ..bare }),
            _ => None,
        }
    }

    /// Whether it follows the entry whose hash is `previous`, and its private part, if it is here, is what it was.
    pub fn follows(&self, previous: &Hash) -> bool {
        let sealed = match (self.sealed, self.digest) {
            (Some(sealed), Some(digest)) => self::hash(sealed) == digest,
            _ => true,
        };
        let has_private = u8::from(self.digest.is_some());
        let hash = hash_of(&[
            &[self.kind, has_private, 0, 0],
            &(self.public.len() as u32).to_le_bytes(),
            &self.sequence.to_le_bytes(),
            previous,
            self.public,
            self.digest.as_ref().map_or(&[], Hash::as_slice),
        ]);
        sealed && self.hash == hash
    }
}

fn hash_of(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    taken(context.finish().as_ref())
}

/// The same of bytes that stand together, which is cheaper.
fn hash(bytes: &[u8]) -> Hash {
    taken(digest(&SHA256, bytes).as_ref())
}

fn taken(digest: &[u8]) -> Hash {
    let mut hash = [0; HASH_BYTES];
    hash.copy_from_slice(digest);
    hash
}

/// Salts of private parts: known to nobody once this process has ended, but for where they are written.
pub struct Salts {
    key: [u8; 32],
    /// Those of consecutive entries, as one by one they would cost as much as the digest they go into; which these are.
    made: [u8; SALTS_AT_ONCE as usize * SALT_BYTES],
    lot: Option<u64>,
}

/// So many are made at once.
const SALTS_AT_ONCE: u64 = 32;

impl Salts {
    /// `key` is random, and nobody else's.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key, made: [0; SALTS_AT_ONCE as usize * SALT_BYTES], lot: None }
    }

    /// The salt of one entry, always the same.
    fn of(&mut self, sequence: u64) -> &[u8] {
        let (lot, at) = (sequence / SALTS_AT_ONCE, (sequence % SALTS_AT_ONCE) as usize);
        if self.lot != Some(lot) {
            let mut stream = blake3::Hasher::new_keyed(&self.key).update(&lot.to_le_bytes()).finalize_xof();
            stream.fill(&mut self.made);
            self.lot = Some(lot);
        }
        &self.made[at * SALT_BYTES..][..SALT_BYTES]
    }
}

fn checksum(length: usize, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&(length as u32).to_le_bytes()), body)
}

/// Where a chain stands: what the next entry follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Of the last entry; 0 before the first.
    pub sequence: u64,
    pub hash: Hash,
}

impl Chain {
    /// Before the first entry of an instance.
    pub fn start(instance: &str) -> Self {
        Self { sequence: 0, hash: hash_of(&[b"penstock journal ", instance.as_bytes()]) }
    }

    /// Appends the next entry to `out`. `salts` has the salt of its private part; empty: it has none.
    pub fn append(&mut self, kind: u8, public: &[u8], private: &[u8], salts: &mut Salts, out: &mut Vec<u8>) {
        let sequence = self.sequence + 1;
        let has_private = !private.is_empty();
        let begin = out.len();
        out.extend_from_slice(&[0; HEAD_BYTES]);
        out.extend_from_slice(&[kind, u8::from(has_private), 0, 0]);
        out.extend_from_slice(&(public.len() as u32).to_le_bytes());
        out.extend_from_slice(&sequence.to_le_bytes());
        out.extend_from_slice(&self.hash);
        out.extend_from_slice(public);
        let mut end = out.len();
        if has_private {
            let salt_at = end + HASH_BYTES;
            out.extend_from_slice(&[0; HASH_BYTES]);
            out.extend_from_slice(salts.of(sequence));
            out.extend_from_slice(private);
            let digest = hash(&out[salt_at..]);
            out[end..salt_at].copy_from_slice(&digest);
            end = salt_at;
        }
        let hash = hash(&out[begin + HEAD_BYTES..end]);
        out[begin + HASH_AT..begin + FIXED_BYTES].copy_from_slice(&hash);
        close(&mut out[begin..]);
        *self = Self { sequence, hash };
    }

    /// The same after `entry`.
    #[must_use]
    pub fn after(entry: &Entry<'_>) -> Self {
        Self { sequence: entry.sequence, hash: entry.hash }
    }
}

/// Sets length and checksum of a whole entry.
fn close(entry: &mut [u8]) {
    let length = entry.len() - HEAD_BYTES;
    let crc = checksum(length, &entry[HEAD_BYTES..]);
    entry[..4].copy_from_slice(&(length as u32).to_le_bytes());
    entry[4..HEAD_BYTES].copy_from_slice(&crc.to_le_bytes());
}

/// Forgets the private part of the entry that begins at the first byte: salt and bytes become zeros, and the chain holds
/// as before. `false`: there is none to forget.
pub fn forget(bytes: &mut [u8]) -> bool {
    let Ok(Entry { private: Some(_), bytes: whole, public, .. }) = Entry::read(bytes) else { return false };
    let salt_at = FIXED_BYTES + public.len() + HASH_BYTES;
    bytes[HEAD_BYTES + 1] = 2;
    bytes[salt_at..whole].fill(0);
    close(&mut bytes[..whole]);
    true
}

/// Where the next entry may begin after one that is damaged: the first place at which a whole one stands.
pub fn next_whole(bytes: &[u8]) -> Option<usize> {
    (1..bytes.len().saturating_sub(FIXED_BYTES - 1)).find(|at| Entry::read(&bytes[*at..]).is_ok())
}
