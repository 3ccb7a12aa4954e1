//! The form of credentials: Penstock's own keys, and the ids that foreign ones get.

use std::{fmt, ops::Range, sync::LazyLock};

use aws_lc_rs::digest::{SHA256, digest};
use memchr::memmem;

/// What every key of our own begins with.
pub const PREFIX: &[u8] = b"sk-pen-";
/// Prepared once, as every request is searched for it.
static OWN: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(PREFIX));
const ID_BYTES: usize = 12;
const SECRET_BYTES: usize = 43;
const CHECKSUM_BYTES: usize = 6;
/// `sk-pen-<id>-<secret><checksum>`.
const OWN_BYTES: usize = PREFIX.len() + ID_BYTES + 1 + SECRET_BYTES + CHECKSUM_BYTES;
/// What a foreign secret may measure; the store takes no other.
const FOREIGN_BYTES: std::ops::RangeInclusive<usize> = MIN_BYTES..=512;
/// No key is shorter.
pub const MIN_BYTES: usize = 20;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The public id of a key: 12 base62 characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; ID_BYTES]);

impl KeyId {
    /// The id that `text` is, if it is one.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let id: [u8; ID_BYTES] = text.try_into().ok()?;
        is_base62(&id).then_some(Self(id))
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Spread evenly enough for tables: ids are random, nobody chooses those that are stored.
    pub(super) fn hash(self) -> u64 {
        let mut wide = [0; 16];
        wide[..ID_BYTES].copy_from_slice(&self.0);
        let wide = u128::from_le_bytes(wide);
        let (first, last) = (wide as u64, (wide >> 64) as u64);
        let mixed = (first ^ last.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        mixed ^ (mixed >> 32)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not a key that anybody can have: cut, mistyped, or of no form that is ever stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The id under which a credential's key is stored. Says nothing about whether there is such a key.
pub fn key_id(credential: &[u8]) -> Result<KeyId, Malformed> {
    unchecked_id(credential).and_then(|id| if is_whole(credential) { Ok(id) } else { Err(Malformed) })
}

/// The same of a credential that may be mistyped, for those who compare all of it anyway.
pub fn unchecked_id(credential: &[u8]) -> Result<KeyId, Malformed> {
    if is_own(credential) { own(credential) } else { foreign(credential) }
}

/// Whether a credential is meant to be a key of ours, valid or not.
pub fn is_own(credential: &[u8]) -> bool {
    credential.starts_with(PREFIX)
}

/// Where a text holds what looks like a key of ours, whole or cut in its secret.
pub fn find_own(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + OWN.find(&text[from..])?;
        from = at + PREFIX.len();
        let (id, rest) = text[from..].split_at_checked(ID_BYTES).unwrap_or_default();
        if is_base62(id) && rest.first() == Some(&b'-') {
            return Some(at);
        }
    }
}

/// Each place at which a text holds one.
pub fn find_keys(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + find_own(&text[from..])?;
        let secret_at = at + PREFIX.len() + ID_BYTES + 1;
        let length = text[secret_at..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        // One that follows at once begins with two letters that could be of this one.
        from = secret_at;
        Some(at..secret_at + length)
    })
}

/// The id in a key of ours that may be mistyped: see [`is_whole`].
fn own(credential: &[u8]) -> Result<KeyId, Malformed> {
    if credential.len() != OWN_BYTES {
        return Err(Malformed);
    }
    KeyId::parse(&credential[PREFIX.len()..][..ID_BYTES]).ok_or(Malformed)
}

/// Whether a credential that [`unchecked_id`] reads has the right characters and, if it is a key of ours, checksum.
pub fn is_whole(credential: &[u8]) -> bool {
    if !is_own(credential) {
        return true;
    }
    let Some((text, sum)) = credential.split_at_checked(OWN_BYTES - CHECKSUM_BYTES) else { return false };
    let secret = &text[PREFIX.len() + ID_BYTES..];
    secret[0] == b'-' && is_base62(&secret[1..]) && sum == checksum(text)
}

/// The last six characters of a key whose others are `text`: CRC-32 (ISO 3309, as zlib's) in base62.
pub fn checksum(text: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut left = crc32fast::hash(text);
    let mut digits = [b'0'; CHECKSUM_BYTES];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(left % 62) as usize];
        left /= 62;
    }
    digits
}

fn is_base62(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_alphanumeric)
}

fn foreign(credential: &[u8]) -> Result<KeyId, Malformed> {
    if !FOREIGN_BYTES.contains(&credential.len()) || !credential.iter().all(u8::is_ascii_graphic) {
        return Err(Malformed);
    }
    let hash = digest(&SHA256, credential);
    let mut number = [0_u32; 8];
    for (limb, bytes) in number.iter_mut().zip(hash.as_ref().chunks_exact(4)) {
        *limb = bytes.iter().fold(0, |limb, byte| limb << 8 | u32::from(*byte));
    }
    Ok(KeyId(first_digits(number)))
}

/// The first 12 of the 43 base62 digits of a number of 256 bits, most significant limb first.
fn first_digits(mut number: [u32; 8]) -> [u8; ID_BYTES] {
    // The 31 digits that are not wanted: six times five, and one. Divisors are constants: no division is executed.
    for _ in 0..6 {
        divide::<{ 62_u64.pow(5) }>(&mut number);
    }
    divide::<62>(&mut number);
    let mut id = [b'0'; ID_BYTES];
    for half in [6..ID_BYTES, 0..6] {
        let mut digits = divide::<{ 62_u64.pow(3) }>(&mut number);
        let mut left = divide::<{ 62_u64.pow(3) }>(&mut number);
        let (high, low) = id[half].split_at_mut(3);
        for (place, digits) in [(low, &mut digits), (high, &mut left)] {
            for digit in place.iter_mut().rev() {
                *digit = ALPHABET[(*digits % 62) as usize];
                *digits /= 62;
            }
        }
    }
    id
}

/// Divides in place and returns the remainder; `BY` is below 2³².
fn divide<const BY: u64>(number: &mut [u32; 8]) -> u64 {
    let mut rest = 0;
    for limb in number {
        let part = rest << 32 | u64::from(*limb);
        *limb = (part / BY) as u32;
        rest = part % BY;
    }
    rest
}
