//! Providers by number, so that counting by provider is an index into an array and survives reloads.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

use super::record::AttemptResult;
use crate::error::Code;

/// Providers that get counters of their own in one process's life; later ones share number 0, `other`.
pub const MAX_PROVIDERS: usize = 256;
const BLOCK: usize = 16;

/// A provider's name and its place in the counters, the same for the life of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    pub name: Arc<str>,
    pub number: u16,
}

/// The names behind the numbers.
#[derive(Debug)]
pub(super) struct Names(Mutex<Vec<Arc<str>>>);

impl Names {
    pub(super) fn new() -> Self {
        Self(Mutex::new(vec![Arc::from("other")]))
    }

    /// The number of this name, a new one if it was never seen.
    pub(super) fn number(&self, name: &str) -> Provider {
        let mut names = self.0.lock();
        if let Some(index) = names.iter().skip(1).position(|known| &**known == name) {
            return Provider { name: names[index + 1].clone(), number: index as u16 + 1 };
        }
        let name: Arc<str> = Arc::from(name);
        if names.len() == MAX_PROVIDERS {
            return Provider { name, number: 0 };
        }
        names.push(name.clone());
        Provider { name, number: (names.len() - 1) as u16 }
    }

    pub(super) fn all(&self) -> Vec<Arc<str>> {
        self.0.lock().clone()
    }
}

/// Reasons an attempt failed: every code, then what an upstream's status says.
pub(super) const REASONS: usize = Code::ALL.len() + STATUSES.len();
const STATUSES: [&str; 4] = ["status_408", "status_429", "status_4xx", "status_5xx"];

/// The value of the label `reason`.
pub(super) fn reason_name(reason: usize) -> &'static str {
    match Code::ALL.get(reason) {
        Some(code) => code.name(),
        None => STATUSES[reason - Code::ALL.len()],
    }
}

/// Why this attempt counts as an upstream error, if it does.
fn reason(result: AttemptResult) -> Option<usize> {
    let status = |name: usize| Some(Code::ALL.len() + name);
    match result {
        AttemptResult::Failed(code) => Code::ALL.iter().position(|known| *known == code),
        AttemptResult::Status(408) => status(0),
        AttemptResult::Status(429) => status(1),
        AttemptResult::Status(400..=499) => status(2),
        AttemptResult::Status(500..) => status(3),
        AttemptResult::Status(_) | AttemptResult::Skipped(_) | AttemptResult::GivenUp => None,
    }
}

#[derive(Debug)]
pub(super) struct Counters {
    pub(super) attempts: AtomicU64,
    pub(super) errors: [AtomicU64; REASONS],
}

impl Counters {
    fn new() -> Self {
        Self { attempts: AtomicU64::new(0), errors: [const { AtomicU64::new(0) }; REASONS] }
    }
}

/// One shard's counters by provider, made in blocks as numbers come into use.
#[derive(Debug, Default)]
pub(super) struct ByProvider([OnceLock<Box<[Counters]>>; MAX_PROVIDERS / BLOCK]);

impl ByProvider {
    pub(super) fn attempt(&self, number: u16, result: AttemptResult) {
        let number = usize::from(number) % MAX_PROVIDERS;
        let block = self.0[number / BLOCK].get_or_init(|| (0..BLOCK).map(|_| Counters::new()).collect());
        let counters = &block[number % BLOCK];
        counters.attempts.fetch_add(1, Ordering::Relaxed);
        if let Some(reason) = reason(result) {
            counters.errors[reason].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn get(&self, number: usize) -> Option<&Counters> {
        Some(&self.0[number / BLOCK].get()?[number % BLOCK])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_and_too_many_share_one() {
        let names = Names::new();
        let first = names.number("openai");
        assert_eq!((names.number("claude").number, first.number), (2, 1));
        assert_eq!(names.number("openai"), first);
        assert_eq!(names.number("other").number, 3, "a provider of that name is not the shared one");
        for n in 3..MAX_PROVIDERS + 5 {
            names.number(&format!("p{n}"));
        }
        assert_eq!(names.number("one too many").number, 0);
        assert_eq!(names.all().len(), MAX_PROVIDERS);
    }
}
