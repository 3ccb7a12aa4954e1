//! What native knows of a secret that has been verified: its BLAKE3 under a key that never leaves this node.

use std::{fmt, fs::File, io::Read, path::Path};

use super::format::PREFIX;

/// A keyed BLAKE3 hash of a whole credential.
#[derive(Clone, Copy)]
pub struct Digest([u8; Self::BYTES]);

impl Digest {
    pub const BYTES: usize = 32;

    pub fn bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// From 64 hexadecimal digits.
    pub fn parse(hex: &str) -> Option<Self> {
        let mut bytes = [0; Self::BYTES];
        if hex.len() != 2 * Self::BYTES {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            *byte = (digit(0)? * 16 + digit(1)?) as u8;
        }
        Some(Self(bytes))
    }

    pub fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

/// Takes the same time wherever the two differ.
impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        blake3::Hash::from_bytes(self.0) == blake3::Hash::from_bytes(other.0)
    }
}

impl Eq for Digest {}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

/// Makes digests, by this node's key.
pub struct Digests([u8; Digest::BYTES]);

impl Digests {
    pub const fn new(key: [u8; Digest::BYTES]) -> Self {
        Self(key)
    }

    /// A key of this process only: what it verifies is forgotten with it.
    pub fn random() -> Result<Self, String> {
        let mut key = [0; Digest::BYTES];
        aws_lc_rs::rand::fill(&mut key).map_err(|_| "the system gives no random bytes")?;
        Ok(Self(key))
    }

    /// The key that a file holds.
    pub fn read(path: &Path) -> Result<Self, String> {
        let told = |what: &dyn fmt::Display| format!("digest_key_file {}: {what}", path.display());
        let mut bytes = Vec::new();
        let most = Digest::BYTES as u64 + 1;
        File::open(path).and_then(|f| f.take(most).read_to_end(&mut bytes)).map_err(|e| told(&e))?;
        let key = bytes.try_into().map_err(|_| told(&"it does not hold 32 bytes; remove it to have a new one made"))?;
        Ok(Self(key))
    }

    /// Of a credential. What every key of our own begins with says nothing: without it one block of BLAKE3 holds the rest.
    pub fn digest(&self, credential: &[u8]) -> Digest {
        Digest(blake3::keyed_hash(&self.0, credential.strip_prefix(PREFIX).unwrap_or(credential)).into())
    }
}

impl fmt::Debug for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digests(…)")
    }
}
