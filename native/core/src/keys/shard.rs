//! A part of the key table: its rows, what has been deleted, and digests that came before their row.

use std::sync::Arc;

use hashbrown::{HashMap, HashTable};

use super::{digest::Digest, format::KeyId, row::KeyRow};

/// Keys whose digests are kept before their row has come. One digest lost costs one more verification.
const MAX_EARLY: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Shard {
    rows: HashTable<Arc<KeyRow>>,
    /// The version that deleted a key.
    tombstones: HashMap<KeyId, u64, std::hash::RandomState>,
    /// Digests by generation, of secrets that no row has named yet.
    early: HashMap<KeyId, Vec<(u32, Digest)>, std::hash::RandomState>,
}

impl Shard {
    pub(super) fn find(&self, id: KeyId) -> Option<&Arc<KeyRow>> {
        self.rows.find(id.hash(), |row| row.id == id)
    }

    /// Whether a key of this id is known to have been deleted.
    pub(super) fn is_deleted(&self, id: KeyId) -> bool {
        self.tombstones.contains_key(&id)
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &Arc<KeyRow>> {
        self.rows.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Takes a row that is newer than what is here, with the digests that are known already. Of an older one only its
    /// digests are taken. `false`: it was no newer.
    pub(super) fn put(&mut self, mut row: KeyRow) -> bool {
        let id = row.id;
        if self.version(id).is_some_and(|known| known >= row.version) {
            for secret in row.secrets() {
                if let Some(digest) = secret.digest {
                    self.learn(id, secret.generation, digest);
                }
            }
            return false;
        }
        self.tombstones.remove(&id);
        let mut known = self.early.remove(&id).unwrap_or_default();
        let place = self.rows.find_mut(id.hash(), |row| row.id == id);
        if let Some(old) = &place {
            known.extend(old.secrets().iter().filter_map(|s| Some((s.generation, s.digest?))));
            row.follow(old);
        }
        for secret in row.secrets_mut() {
            let digest = known.iter().find(|(generation, _)| *generation == secret.generation).map(|(_, d)| *d);
            secret.digest = digest.or(secret.digest);
        }
        let newest = newest(&row);
        match place {
            Some(place) => *place = Arc::new(row),
            None => drop(self.rows.insert_unique(id.hash(), Arc::new(row), |row| row.id.hash())),
        }
        known.retain(|(generation, _)| newest.is_none_or(|newest| *generation > newest));
        for (generation, digest) in known {
            self.keep_early(id, generation, digest);
        }
        true
    }

    /// Deletes a key, unless what is here is newer.
    pub(super) fn delete(&mut self, id: KeyId, version: u64) {
        if self.version(id).is_some_and(|known| known >= version) {
            return;
        }
        if let Ok(row) = self.rows.find_entry(id.hash(), |row| row.id == id) {
            row.remove();
        }
        self.early.remove(&id);
        self.tombstones.insert(id, version);
    }

    /// Takes the digest of a secret that was verified.
    pub(super) fn learn(&mut self, id: KeyId, generation: u32, digest: Digest) {
        let Some(row) = self.rows.find_mut(id.hash(), |row| row.id == id) else {
            if !self.is_deleted(id) {
                self.keep_early(id, generation, digest);
            }
            return;
        };
        let Some(at) = row.secrets().iter().position(|s| s.generation == generation) else {
            if newest(row).is_none_or(|newest| generation > newest) {
                self.keep_early(id, generation, digest);
            }
            return;
        };
        if row.secrets()[at].digest.is_some() {
            return;
        }
        if Arc::get_mut(row).is_none() {
            *row = Arc::new(row.copied());
        }
        if let Some(row) = Arc::get_mut(row) {
            row.secrets_mut()[at].digest = Some(digest);
        }
    }

    /// Forgets deletions up to a version: nothing older comes any more.
    pub(super) fn settle(&mut self, version: u64) {
        self.tombstones.retain(|_, deleted| *deleted > version);
        self.tombstones.shrink_to(2 * self.tombstones.len());
    }

    fn version(&self, id: KeyId) -> Option<u64> {
        self.find(id).map(|row| row.version).or_else(|| self.tombstones.get(&id).copied())
    }

    fn keep_early(&mut self, id: KeyId, generation: u32, digest: Digest) {
        if self.early.len() >= MAX_EARLY && !self.early.contains_key(&id) {
            return;
        }
        let kept = self.early.entry(id).or_default();
        if kept.len() < MAX_EARLY && !kept.iter().any(|(known, _)| *known == generation) {
            kept.push((generation, digest));
        }
    }
}

/// The newest generation that a row names.
fn newest(row: &KeyRow) -> Option<u32> {
    row.secrets().iter().map(|s| s.generation).max()
}
