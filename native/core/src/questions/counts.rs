//! How questions ended, by kind: for `penstock_questions_total`.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{AskError, Kind};

/// The end of one question; the name is the value of the label `result`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Answered,
    Full,
    Timeout,
    Closed,
    Cancelled,
}

impl Outcome {
    pub const ALL: [Self; 5] = [Self::Answered, Self::Full, Self::Timeout, Self::Closed, Self::Cancelled];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Full => "full",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Cancelled => "cancelled",
        }
    }

    pub(super) fn of<T>(result: &Result<T, AskError>) -> Self {
        match result {
            Ok(_) => Self::Answered,
            Err(AskError::Full) => Self::Full,
            Err(AskError::Timeout) => Self::Timeout,
            Err(AskError::Closed) => Self::Closed,
        }
    }
}

/// One counter for each kind and outcome.
#[derive(Debug, Default)]
pub struct Counts([[AtomicU64; Outcome::ALL.len()]; Kind::ALL.len()]);

impl Counts {
    pub(super) fn add(&self, kind: Kind, outcome: Outcome) {
        self.0[kind as usize][outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn get(&self, kind: Kind, outcome: Outcome) -> u64 {
        self.0[kind as usize][outcome as usize].load(Ordering::Relaxed)
    }
}
