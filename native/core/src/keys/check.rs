//! Whether a credential is right, as far as the key table knows.

use std::sync::Arc;

use super::{
    digest::{Digest, Digests},
    format::{KeyId, Malformed, is_whole, unchecked_id},
    row::{KeyRow, TeamRow, TeamState},
    table::{Found, Table},
};
use crate::error::{Code, Error};

/// How long to wait before asking again, when the store's answer is missing.
pub const AWAY_MS: u64 = 1_000;

/// A credential from which an id can be read.
#[derive(Clone, Copy)]
pub struct Credential<'a> {
    pub id: KeyId,
    text: &'a [u8],
}

impl<'a> Credential<'a> {
    pub fn read(text: &'a [u8]) -> Result<Self, Malformed> {
        Ok(Self { id: unchecked_id(text)?, text })
    }

    /// Whether it is not mistyped, as far as it tells itself. One that is known is: asked only of others.
    pub fn is_whole(&self) -> bool {
        is_whole(self.text)
    }

    /// Printable ASCII without blanks, if it is whole.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }
}

/// Why a credential is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Unknown,
    Wrong,
    Disabled,
    Expired,
    /// It cannot be told now.
    Away,
}

impl Refusal {
    pub fn error(self) -> Error {
        let (code, message) = match self {
            Self::Unknown | Self::Wrong => {
                (Code::InvalidApiKey, "The API key is not known here; look for a cut, stale or mistyped one.")
            }
            Self::Disabled => (Code::KeyDisabled, "The API key is disabled; ask whoever issued it."),
            Self::Expired => (Code::KeyExpired, "The API key has expired; ask whoever issued it for another."),
            Self::Away => {
                let message = "The API key cannot be checked now, as the key store is away. Try again shortly.";
                return Error::new(Code::StoreUnavailable, message).after_ms(AWAY_MS);
            }
        };
        Error::new(code, message)
    }
}

/// What the table says of a credential.
#[derive(Debug)]
pub enum Checked {
    Known {
        row: Arc<KeyRow>,
        team: Option<Arc<TeamRow>>,
    },
    Refused(Refusal),
    /// The key has a secret that nobody has shown here yet: it may be this one.
    Unverified(Digest),
}

impl Table {
    /// Compares a credential with the secrets of its key that are live at `now_us` (UTC). A known one counts as a use.
    pub fn check(&self, credential: &Credential<'_>, digests: &Digests, now_us: u64) -> Checked {
        let row = match self.find(credential.id) {
            Found::Row(row) => row,
            Found::Deleted => return Checked::Refused(Refusal::Unknown),
            Found::Nothing if self.is_current() => return Checked::Refused(Refusal::Unknown),
            Found::Nothing => return Checked::Refused(Refusal::Away),
        };
        let digest = digests.digest(credential.text);
        let (mut is_right, mut is_open) = (false, false);
        for secret in row.secrets().iter().filter(|s| s.is_live(now_us)) {
            match &secret.digest {
                Some(known) => is_right |= *known == digest,
                None => is_open = true,
            }
        }
        match (is_right, is_open) {
            (true, _) => {}
            (false, true) => return Checked::Unverified(digest),
            (false, false) if self.is_current() => return Checked::Refused(Refusal::Wrong),
            // Another node may have given the key a new secret since the store was last heard of.
            (false, false) => return Checked::Refused(Refusal::Away),
        }
        if row.disabled {
            return Checked::Refused(Refusal::Disabled);
        }
        if row.expires_us <= now_us {
            return Checked::Refused(Refusal::Expired);
        }
        let team = match row.team.as_ref().map(|slot| slot.state()) {
            None => None,
            Some(TeamState::Here(team)) if !team.disabled => Some(team),
            Some(TeamState::Here(_) | TeamState::Gone(_)) => return Checked::Refused(Refusal::Disabled),
            // What it allows is not known yet.
            Some(TeamState::Unknown) => return Checked::Refused(Refusal::Away),
        };
        row.used().mark(now_us);
        Checked::Known { row, team }
    }
}
