//! How many tokens answers usually have: by key and model, and by model.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::Scope;

const SHARDS: usize = 64;
/// Keys (or models) whose answers are remembered, in one shard.
const MOST_IN_SHARD: usize = 2048;
const MOST_MODELS_OF_A_KEY: usize = 8;
/// A new answer's weight is one part of so many.
const WEIGHT: u64 = 8;
/// Averages are kept in parts of a token.
const PARTS: u64 = 256;

/// Names are kept as hashes: of two that are equal, which never comes, one would learn from the other.
#[derive(Debug)]
pub(super) struct Learned {
    hash: RandomState,
    keys: [Mutex<Shard<Vec<(u64, Average)>>>; SHARDS],
    models: Mutex<Shard<Average>>,
}

type Shard<T> = HashMap<u64, T, RandomState>;

impl Default for Learned {
    fn default() -> Self {
        Self { hash: RandomState::new(), keys: std::array::from_fn(|_| Mutex::default()), models: Mutex::default() }
    }
}

impl Learned {
    /// What this key's answers of a model usually have, else what the model's answers usually have.
    pub(super) fn expected(&self, key: Scope<'_>, model: &str) -> Option<u64> {
        let model = self.hash.hash_one(model);
        let (key, shard) = self.shard(key);
        let of_key = shard
            .lock()
            .get(&key)
            .and_then(|models| models.iter().find(|(known, _)| *known == model))
            .map(|(_, average)| average.tokens());
        of_key.or_else(|| Some(self.models.lock().get(&model)?.tokens()))
    }

    pub(super) fn learn(&self, key: Scope<'_>, model: &str, tokens: u64) {
        let model = self.hash.hash_one(model);
        let (key, shard) = self.shard(key);
        {
            let mut shard = shard.lock();
            make_room(&mut shard, key);
            let models = shard.entry(key).or_default();
            match models.iter_mut().find(|(known, _)| *known == model) {
                Some((_, average)) => average.learn(tokens),
                None => {
                    if models.len() >= MOST_MODELS_OF_A_KEY {
                        models.remove(0);
                    }
                    models.push((model, Average::of(tokens)));
                }
            }
        }
        let mut models = self.models.lock();
        make_room(&mut models, model);
        models.entry(model).and_modify(|average| average.learn(tokens)).or_insert_with(|| Average::of(tokens));
    }

    fn shard(&self, key: Scope<'_>) -> (u64, &Mutex<Shard<Vec<(u64, Average)>>>) {
        let key = self.hash.hash_one(key);
        (key, &self.keys[(key >> 40) as usize % SHARDS])
    }
}

/// Some other one goes for a new one where there are too many.
fn make_room<T>(shard: &mut Shard<T>, new: u64) {
    if shard.len() >= MOST_IN_SHARD && !shard.contains_key(&new) {
        let other = shard.keys().next().copied();
        other.and_then(|other| shard.remove(&other));
    }
}

/// An exponentially weighted average.
#[derive(Clone, Copy, Debug)]
struct Average(u64);

impl Average {
    fn of(tokens: u64) -> Self {
        Self(tokens.saturating_mul(PARTS))
    }

    fn learn(&mut self, tokens: u64) {
        let new = tokens.saturating_mul(PARTS);
        self.0 = self.0 - self.0 / WEIGHT + new / WEIGHT;
    }

    fn tokens(self) -> u64 {
        self.0.div_ceil(PARTS)
    }
}
