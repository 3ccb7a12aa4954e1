//! Every key of this node: fed by batches of rows in any order, asked by every request.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

use super::{
    access::{Access, Lists},
    batch::{Batch, Change, Key},
    format::{KeyId, key_id},
    interned::Interned,
    row::{KeyRow, Secrets, TeamRow, TeamSlot, TeamState},
    shard::Shard,
    tags::Tags,
};
use crate::limits::Policy;

/// So many locks, that a batch and the requests seldom meet at one.
const SHARDS: usize = 64;

/// Requests of this key that began on a row before this version are to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub key: KeyId,
    pub before: u64,
}

/// The key table. Of two rows with one id the higher version stays, whatever the order they come in.
#[derive(Debug, Default)]
pub struct Table {
    rows: ArcSwap<Rows>,
    /// Held by whoever puts a batch.
    shared: Mutex<Shared>,
    /// Uses that were not told before a reset.
    left: Mutex<HashMap<KeyId, u64, std::hash::RandomState>>,
    current: AtomicBool,
}

/// What rows have in common.
#[derive(Debug, Default)]
struct Shared {
    access: Interned<Lists, Access>,
    limits: Interned<Policy, Policy>,
    tags: Interned<Tags, Tags>,
}

/// The same of one batch, in the order of its lists.
struct OfBatch {
    access: Vec<Arc<Access>>,
    limits: Vec<Arc<Policy>>,
    tags: Vec<Arc<Tags>>,
}

impl OfBatch {
    fn limits(&self, at: Option<usize>) -> Option<Arc<Policy>> {
        at.and_then(|at| self.limits.get(at)).cloned()
    }

    fn tags(&self, at: Option<usize>) -> Option<Arc<Tags>> {
        at.and_then(|at| self.tags.get(at)).cloned()
    }
}

#[derive(Debug)]
struct Rows {
    shards: [RwLock<Shard>; SHARDS],
    teams: RwLock<HashMap<Box<str>, Arc<TeamSlot>, std::hash::RandomState>>,
}

impl Default for Rows {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| RwLock::default()), teams: RwLock::default() }
    }
}

impl Rows {
    fn shard(&self, id: KeyId) -> &RwLock<Shard> {
        // Not the bits by which the shard itself places and tells its rows.
        &self.shards[(id.hash() >> 40) as usize % SHARDS]
    }

    fn find(&self, id: KeyId) -> Found {
        let shard = self.shard(id).read();
        match shard.find(id) {
            Some(row) => Found::Row(row.clone()),
            None if shard.is_deleted(id) => Found::Deleted,
            None => Found::Nothing,
        }
    }

    /// The uses that have not been told yet.
    fn uses(&self) -> Vec<(KeyId, u64)> {
        let mut uses = Vec::new();
        for shard in &self.shards {
            uses.extend(shard.read().rows().filter_map(|row| Some((row.id, row.used().tell()?))));
        }
        uses
    }

    fn team(&self, id: Box<str>) -> Arc<TeamSlot> {
        let mut teams = self.teams.write();
        teams.entry(id.clone()).or_insert_with(|| Arc::new(TeamSlot::new(id))).clone()
    }
}

/// What the table has under an id.
#[derive(Debug)]
pub(super) enum Found {
    Row(Arc<KeyRow>),
    Deleted,
    Nothing,
}

impl Table {
    /// Whether the table is known to hold every key.
    pub fn is_current(&self) -> bool {
        self.current.load(Relaxed)
    }

    pub fn set_current(&self, current: bool) {
        self.current.store(current, Relaxed);
    }

    pub(super) fn find(&self, id: KeyId) -> Found {
        self.rows.load().find(id)
    }

    /// Whether a text is the credential of a key that is here or was, whatever its secret.
    pub fn knows(&self, text: &[u8]) -> bool {
        key_id(text).is_ok_and(|id| !matches!(self.find(id), Found::Nothing))
    }

    /// The row of a key, if there is one.
    pub fn row(&self, id: KeyId) -> Option<Arc<KeyRow>> {
        match self.find(id) {
            Found::Row(row) => Some(row),
            Found::Deleted | Found::Nothing => None,
        }
    }

    /// The row of a team, if there is one.
    pub fn team(&self, id: &str) -> Option<Arc<TeamRow>> {
        let slot = self.rows.load().teams.read().get(id)?.clone();
        match slot.state() {
            TeamState::Here(row) => Some(row),
            TeamState::Unknown | TeamState::Gone(_) => None,
        }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.rows.load().shards.iter().map(|shard| shard.read().len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many different lists of what is allowed are kept.
    pub fn accesses(&self) -> usize {
        self.shared.lock().access.len()
    }

    /// How many different limits are kept.
    pub fn policies(&self) -> usize {
        self.shared.lock().limits.len()
    }

    /// Applies a batch: requests that come from now on see all of it. Returns whose requests are to be ended.
    ///
    /// A reset forgets every row, and takes those of its own batch in the same step: a key that is put by a later one is
    /// [away](super::Refusal::Away) until then, as long as the table is not said to be [current](Self::set_current).
    pub fn put(&self, batch: Batch) -> Vec<Cut> {
        let mut shared = self.shared.lock();
        let before = self.rows.load_full();
        let rows = if batch.reset { Arc::default() } else { before.clone() };
        let of_batch = OfBatch {
            access: batch.access.into_iter().map(|a| shared.access.intern(a.lists().clone(), a)).collect(),
            limits: batch.limits.into_iter().map(|p| shared.limits.intern(p.clone(), p)).collect(),
            tags: batch.tags.into_iter().map(|t| shared.tags.intern(t.clone(), t)).collect(),
        };
        for team in batch.teams {
            let row = team.row.map(|row| TeamRow {
                id: team.id.clone(),
                name: row.name,
                version: team.version,
                disabled: row.disabled,
                access: of_batch.access[row.access].clone(),
                limits: of_batch.limits(row.limits),
                tags: of_batch.tags(row.tags),
                keeps_content: row.keeps_content,
            });
            rows.team(team.id).put(team.version, row);
        }
        let mut cuts = Vec::new();
        for Change { id, version, row } in batch.keys {
            let Some(key) = row else {
                rows.shard(id).write().delete(id, version);
                continue;
            };
            let known_us = if let Found::Row(old) = before.find(id) { old.cut_us } else { 0 };
            let row = key_row(id, version, key, &of_batch, &rows);
            // Not by size: the clocks of the nodes that cut may differ.
            let is_new = row.cut_us != known_us && row.cut_us != 0;
            // Nobody begins on a disabled row; and versions from before a reset do not compare with those after it.
            let cut = Cut { key: id, before: if row.disabled { u64::MAX } else { version } };
            if rows.shard(id).write().put(row) && is_new {
                cuts.push(cut);
            }
        }
        for (id, generation, digest) in batch.digests {
            rows.shard(id).write().learn(id, generation, digest);
        }
        if batch.settled > 0 {
            rows.shards.iter().for_each(|shard| shard.write().settle(batch.settled));
            rows.teams.write().retain(|_, slot| Arc::strong_count(slot) > 1 || !slot.is_settled(batch.settled));
        }
        if batch.reset {
            self.rows.store(rows);
            self.left.lock().extend(before.uses());
        }
        drop(before);
        drop(of_batch);
        shared.access.sweep();
        shared.limits.sweep();
        shared.tags.sweep();
        cuts
    }

    /// The longest window of a limit of a key or team, microseconds; 0: there is none.
    pub(crate) fn longest_window_us(&self) -> u64 {
        self.shared.lock().limits.values().map(|policy| policy.longest_window_us()).max().unwrap_or(0)
    }

    /// The keys used since the last call: a JSON object, id to microseconds UTC.
    pub fn used(&self) -> Vec<u8> {
        let mut uses = std::mem::take(&mut *self.left.lock());
        uses.extend(self.rows.load().uses());
        let mut out = vec![b'{'];
        for (id, us) in uses {
            let comma = if out.len() > 1 { "," } else { "" };
            let _ = write!(out, "{comma}\"{id}\":{us}");
        }
        out.push(b'}');
        out
    }
}

fn key_row(id: KeyId, version: u64, key: Key, of_batch: &OfBatch, rows: &Rows) -> KeyRow {
    let team = key.team.map(|team| rows.team(team));
    let mut row = KeyRow::new(id, version, of_batch.access[key.access].clone(), team);
    row.limits = of_batch.limits(key.limits);
    row.tags = of_batch.tags(key.tags);
    row.disabled = key.disabled;
    row.keeps_content = key.keeps_content;
    row.cut_us = key.cut_us.unwrap_or(0);
    row.set_expiry(key.expires_us);
    row.secrets = Secrets::new(key.secrets);
    row
}
