//! One key, one team: what a request needs to know of whoever sends it, in as little memory as that takes.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;

use super::{access::Access, digest::Digest, format::KeyId, tags::Tags};
use crate::limits::Policy;

const NEVER: u64 = u64::MAX;
const SECOND_US: u64 = 1_000_000;

/// One secret of a key; without a digest nobody has shown it here yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret {
    until_us: u64,
    pub generation: u32,
    pub digest: Option<Digest>,
}

impl Secret {
    pub fn new(generation: u32, until_us: Option<u64>, digest: Option<Digest>) -> Self {
        Self { until_us: until_us.unwrap_or(NEVER), generation, digest }
    }

    pub fn is_live(&self, now_us: u64) -> bool {
        now_us < self.until_us
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}, known={})", self.generation, self.digest.is_some())
    }
}

/// Nearly every key has one: that one needs no memory of its own.
#[derive(Clone, Debug)]
pub(super) enum Secrets {
    One(Secret),
    Many(Box<[Secret]>),
}

impl Secrets {
    pub(super) fn new(secrets: Vec<Secret>) -> Self {
        match secrets.as_slice() {
            [one] => Self::One(*one),
            _ => Self::Many(secrets.into()),
        }
    }

    fn all(&self) -> &[Secret] {
        match self {
            Self::One(secret) => std::slice::from_ref(secret),
            Self::Many(secrets) => secrets,
        }
    }

    fn all_mut(&mut self) -> &mut [Secret] {
        match self {
            Self::One(secret) => std::slice::from_mut(secret),
            Self::Many(secrets) => secrets,
        }
    }
}

/// A key as it is now. A request keeps the row it started with.
#[derive(Debug)]
pub struct KeyRow {
    pub version: u64,
    pub(super) expires_us: u64,
    /// When its requests were last ended, microseconds UTC; 0: never.
    pub(super) cut_us: u64,
    used: Used,
    pub access: Arc<Access>,
    /// Of its own; what it does not set comes from the default.
    pub limits: Option<Arc<Policy>>,
    pub tags: Option<Arc<Tags>>,
    pub(super) team: Option<Arc<TeamSlot>>,
    pub(super) secrets: Secrets,
    pub id: KeyId,
    pub disabled: bool,
    /// Texts of its requests may be recorded, where any are.
    pub keeps_content: bool,
}

const _: () = assert!(size_of::<KeyRow>() <= 128, "100,000 of them are kept");

impl KeyRow {
    pub(super) fn new(id: KeyId, version: u64, access: Arc<Access>, team: Option<Arc<TeamSlot>>) -> Self {
        Self {
            version,
            expires_us: NEVER,
            cut_us: 0,
            used: Used::default(),
            access,
            limits: None,
            tags: None,
            team,
            secrets: Secrets::Many(Box::default()),
            id,
            disabled: false,
            keeps_content: true,
        }
    }

    pub fn secrets(&self) -> &[Secret] {
        self.secrets.all()
    }

    pub(super) fn secrets_mut(&mut self) -> &mut [Secret] {
        self.secrets.all_mut()
    }

    /// When it ends, microseconds UTC.
    pub fn expires_us(&self) -> Option<u64> {
        (self.expires_us != NEVER).then_some(self.expires_us)
    }

    pub(super) fn set_expiry(&mut self, us: Option<u64>) {
        self.expires_us = us.unwrap_or(NEVER);
    }

    /// The id of its team.
    pub fn team(&self) -> Option<&str> {
        self.team.as_ref().map(|slot| &*slot.id)
    }

    pub(super) fn used(&self) -> &Used {
        &self.used
    }

    /// A copy that goes on where this one stands.
    pub(super) fn copied(&self) -> Self {
        Self {
            version: self.version,
            expires_us: self.expires_us,
            cut_us: self.cut_us,
            used: self.used.copied(),
            access: self.access.clone(),
            limits: self.limits.clone(),
            tags: self.tags.clone(),
            team: self.team.clone(),
            secrets: self.secrets.clone(),
            id: self.id,
            disabled: self.disabled,
            keeps_content: self.keeps_content,
        }
    }

    /// Has it go on counting where `other` stands.
    pub(super) fn follow(&mut self, other: &Self) {
        self.used = other.used.copied();
    }
}

/// When a key was last used: microseconds UTC, written at most once a second; the lowest bit says that it has not been
/// told yet.
#[derive(Debug, Default)]
pub(super) struct Used(AtomicU64);

impl Used {
    pub(super) fn mark(&self, now_us: u64) {
        let before = self.0.load(Relaxed) >> 1;
        if now_us / SECOND_US > before / SECOND_US {
            self.0.store(now_us << 1 | 1, Relaxed);
        }
    }

    /// The time, once.
    pub(super) fn tell(&self) -> Option<u64> {
        let untold = self.0.load(Relaxed) & 1 == 1;
        untold.then(|| self.0.fetch_and(!1, Relaxed) >> 1)
    }

    fn copied(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Relaxed)))
    }
}

/// A team as it is now.
#[derive(Debug)]
pub struct TeamRow {
    pub id: Box<str>,
    pub name: Box<str>,
    pub version: u64,
    pub disabled: bool,
    pub access: Arc<Access>,
    /// A pool that its keys share.
    pub limits: Option<Arc<Policy>>,
    pub tags: Option<Arc<Tags>>,
    /// As of a key.
    pub keeps_content: bool,
}

/// The place of a team, which keys point at before and after it is known.
#[derive(Debug)]
pub(super) struct TeamSlot {
    pub(super) id: Box<str>,
    /// Read by every request of the team: a lock would be written by each.
    state: ArcSwap<TeamState>,
}

/// What is known of a team.
#[derive(Clone, Debug, Default)]
pub(super) enum TeamState {
    #[default]
    Unknown,
    Here(Arc<TeamRow>),
    /// Deleted by this version.
    Gone(u64),
}

impl TeamSlot {
    pub(super) fn new(id: Box<str>) -> Self {
        Self { id, state: ArcSwap::default() }
    }

    pub(super) fn state(&self) -> TeamState {
        TeamState::clone(&self.state.load())
    }

    /// Whether it says nothing that could still matter once no row of `version` or older comes any more.
    pub(super) fn is_settled(&self, version: u64) -> bool {
        match **self.state.load() {
            TeamState::Unknown => true,
            TeamState::Here(_) => false,
            TeamState::Gone(deleted) => deleted <= version,
        }
    }

    /// Takes a newer state; an older one changes nothing. Batches come one at a time.
    pub(super) fn put(&self, version: u64, row: Option<TeamRow>) {
        let known = match &**self.state.load() {
            TeamState::Unknown => None,
            TeamState::Here(row) => Some(row.version),
            TeamState::Gone(version) => Some(*version),
        };
        if known.is_none_or(|known| version > known) {
            self.state.store(Arc::new(row.map_or(TeamState::Gone(version), |row| TeamState::Here(Arc::new(row)))));
        }
    }
}
