//! How many tokens answers usually have: by key and model, and by model.

use std::hash::{BuildHasher as _, BuildHasherDefault, Hasher, RandomState};

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::Scope;

const SHARDS: usize = 64;
/// Keys (or models) whose answers are remembered, in one shard.
const MOST_IN_SHARD: usize = 2048;
const MOST_MODELS_OF_A_KEY: usize = 8;
/// A new answer's weight is one part of so many.
const WEIGHT: u64 = 8;
/// The same of a key in its model's average once it is known there, so that no key drags the others along.
const WEIGHT_OF_KNOWN: u64 = 64;
/// An answer that differs from the average by less than one part of so many teaches nothing.
const AS_USUAL: u64 = 32;
/// Averages are kept in parts of a token.
const PARTS: u64 = 256;

/// How long a model's answers to a key usually are, and where that is learnt.
#[derive(Clone, Copy, Debug)]
pub struct Habit {
    key: u64,
    model: u64,
    /// Of this key's own answers.
    own: Option<u64>,
    usual: Option<u64>,
}

impl Habit {
    /// Tokens; `None`: the model has not answered anybody yet.
    pub fn tokens(&self) -> Option<u64> {
        self.usual
    }
}

/// Names are kept as hashes: of two that are equal, which never comes by chance, one would learn from the other. There are
/// only so many at a time, whatever clients ask for.
#[derive(Debug)]
pub(super) struct Learned {
    /// Clients fill the tables: nobody is to find names that collide.
    hash: RandomState,
    keys: [Mutex<Shard<OfKey>>; SHARDS],
    models: Mutex<Shard<Average>>,
}

type Shard<T> = HashMap<u64, T, BuildHasherDefault<AsItIs>>;

/// What is looked for is a hash already, and nobody outside can foresee it.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0 << 8 | u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Default for Learned {
    fn default() -> Self {
        Self { hash: RandomState::default(), keys: std::array::from_fn(|_| Mutex::default()), models: Mutex::default() }
    }
}

impl Learned {
    pub(super) fn habit(&self, key: Scope<'_>, model: &str) -> Habit {
        let (key, model) = (self.hash.hash_one(key), self.hash.hash_one(model));
        let own = self.shard(key).lock().get(&key).and_then(|models| models.of(model)).map(Average::tokens);
        let usual = own.or_else(|| Some(self.models.lock().get(&model)?.tokens()));
        Habit { key, model, own, usual }
    }

    pub(super) fn learn(&self, habit: Habit, tokens: u64) {
        let Habit { key, model, own, .. } = habit;
        if own.is_some_and(|own| tokens.abs_diff(own) <= own / AS_USUAL) {
            return;
        }
        let (of_key, weight) = {
            let mut shard = self.shard(key).lock();
            make_room(&mut shard, key);
            shard.entry(key).or_default().learn(model, tokens)
        };
        let mut models = self.models.lock();
        make_room(&mut models, model);
        models.entry(model).and_modify(|average| average.take(of_key, weight)).or_insert(of_key);
    }

    fn shard(&self, key: u64) -> &Mutex<Shard<OfKey>> {
        &self.keys[(key >> 40) as usize % SHARDS]
    }
}

/// Some other one goes for a new one where there are too many.
fn make_room<T>(shard: &mut Shard<T>, new: u64) {
    if shard.len() >= MOST_IN_SHARD && !shard.contains_key(&new) {
        let other = shard.keys().next().copied();
        other.and_then(|other| shard.remove(&other));
    }
}

/// The models of one key; the one that answered last is at the end.
#[derive(Debug, Default)]
struct OfKey(Vec<(u64, Average)>);

impl OfKey {
    fn of(&self, model: u64) -> Option<Average> {
        self.0.iter().find(|(known, _)| *known == model).map(|(_, average)| *average)
    }

    /// What the key's answers have now, and how much that weighs among those of other keys.
    fn learn(&mut self, model: u64, tokens: u64) -> (Average, u64) {
        let known = self.0.iter().position(|(known, _)| *known == model).map(|at| self.0.remove(at).1);
        if self.0.len() >= MOST_MODELS_OF_A_KEY {
            self.0.remove(0);
        }
        let weight = if known.is_some() { WEIGHT_OF_KNOWN } else { WEIGHT };
        let mut average = known.unwrap_or(Average::of(tokens));
        average.take(Average::of(tokens), WEIGHT);
        self.0.push((model, average));
        (average, weight)
    }
}

/// An exponentially weighted average.
#[derive(Clone, Copy, Debug)]
struct Average(u64);

impl Average {
    fn of(tokens: u64) -> Self {
        Self(tokens.saturating_mul(PARTS))
    }

    fn take(&mut self, new: Self, weight: u64) {
        self.0 = self.0 - self.0 / weight + new.0 / weight;
    }

    fn tokens(self) -> u64 {
        self.0.div_ceil(PARTS)
    }
}
