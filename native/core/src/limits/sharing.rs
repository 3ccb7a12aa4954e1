//! Limits that are shared between nodes, as whoever carries questions and answers sees them.

use super::{Limits, broker::Broker};
use crate::clock::Clock;

/// What is to be asked of one limit: the script's arguments.
#[derive(Debug)]
pub struct LeaseAsk {
    pub tag: String,
    pub args: Vec<String>,
}

/// How an ask ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeaseResult {
    Granted,
    Refused,
    Lost,
    Stale,
    Told,
    Unanswered,
}

impl LeaseResult {
    pub const ALL: [Self; 6] = [Self::Granted, Self::Refused, Self::Lost, Self::Stale, Self::Told, Self::Unanswered];

    /// As metrics have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Refused => "refused",
            Self::Lost => "lost",
            Self::Stale => "stale",
            Self::Told => "told",
            Self::Unanswered => "unanswered",
        }
    }
}

impl Limits {
    /// From now on limits over time are shared with other nodes: before the first request, once. A request waits for an
    /// answer `timeout_us` at most. Nobody can be asked before [`set_shared`](Self::set_shared) says so.
    pub fn share(&self, instance: &str, timeout_us: u64) {
        let _ = self.ledger().broker.set(Broker::new(instance, timeout_us));
    }

    pub fn is_shared(&self) -> bool {
        self.ledger().broker.get().is_some()
    }

    /// Whether what nodes share cannot be asked, and how many nodes there are; 0: nobody knows.
    pub fn set_shared(&self, away: bool, nodes: u32) {
        if let Some(broker) = self.ledger().broker.get() {
            broker.set(away, nodes);
        }
    }

    /// Another node was refused by the limit of this tag: what is idle here is given back early.
    pub fn press(&self, _tag: &str) {}

    /// Returns once there may be something to ask or to tell. For one task.
    pub async fn wants_leases(&self, _clock: &Clock) {
        std::future::pending().await
    }

    /// What is to be asked now, at most 256; of a limit one at a time. An ask that is dropped was not answered.
    pub fn lease_asks(&self, _clock: &Clock) -> Vec<LeaseAsk> {
        Vec::new()
    }

    /// Takes the script's reply, 12 integers; `None`: there is none.
    pub fn lease_answered(&self, _ask: LeaseAsk, _answer: Option<&[i64]>, _clock: &Clock) -> LeaseResult {
        LeaseResult::Unanswered
    }
}
