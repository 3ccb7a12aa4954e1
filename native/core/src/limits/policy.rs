//! Limits as they are set in one place: field for field what `limits/policy.py` writes.

use serde::Deserialize;

const SHORTEST_US: u64 = 1_000_000;
const LONGEST_US: u64 = 400 * 86_400_000_000;
const LONGEST_QUEUE_US: u64 = 60_000_000;
/// What every reader of JSON takes exactly; in nano-dollars 9 million dollars.
const LARGEST: u64 = (1 << 53) - 1;

/// What may be limited, in the order in which it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Concurrent,
    Requests,
    Tokens,
    /// Money in nano-dollars.
    Budget,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Concurrent, Self::Requests, Self::Tokens, Self::Budget];

    /// As configuration, API and metrics have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Concurrent => "concurrent",
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Budget => "budget",
        }
    }
}

/// A period of the calendar in the zone of the configuration.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    Day,
    Month,
}

/// At most `amount` in any interval of `window_us`, or in each `period`; one of the two is set.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    pub amount: u64,
    pub window_us: Option<u64>,
    pub period: Option<Period>,
}

/// At most `amount` requests at once; others wait up to `queue_us`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(deny_unknown_fields)]
pub struct Slots {
    pub amount: u32,
    #[serde(default)]
    pub queue_us: u64,
}

/// How much of tokens and money a request reserves before its answer is known.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "lowercase")]
pub enum Reserve {
    /// The prompt and what this model and key usually answer.
    #[default]
    Expected,
    /// The prompt and the most that may be answered.
    Cap,
}

/// What becomes of a request while its limits are shared between nodes and what they share cannot be asked.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Away {
    /// Each node admits its part of the limit.
    #[default]
    FairShare,
    /// Nothing is admitted.
    Closed,
    /// Each node admits the whole limit.
    Open,
}

impl Away {
    /// As configuration, headers and metrics have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FairShare => "fair_share",
            Self::Closed => "closed",
            Self::Open => "open",
        }
    }
}

/// The limits of one place; a kind that is `None` is not set there, an empty list sets none.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Hash)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub requests: Option<Box<[Rate]>>,
    pub tokens: Option<Box<[Rate]>>,
    pub budget: Option<Box<[Rate]>>,
    pub concurrent: Option<Box<[Slots]>>,
    pub reserve: Option<Reserve>,
    pub away: Option<Away>,
}

impl Policy {
    /// The longest window, microseconds; 0: there is none.
    pub(crate) fn longest_window_us(&self) -> u64 {
        let rates = [&self.requests, &self.tokens, &self.budget].into_iter().flatten().flatten();
        rates.filter_map(|rate| rate.window_us).max().unwrap_or(0)
    }

    /// Whether native can keep it; the error says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        for (kind, rates) in [("requests", &self.requests), ("tokens", &self.tokens), ("budget", &self.budget)] {
            for rate in rates.iter().flatten() {
                match (rate.window_us, rate.period) {
                    (Some(SHORTEST_US..=LONGEST_US), None) | (None, Some(_)) if rate.amount <= LARGEST => {}
                    _ => return Err(format!("{kind}: {rate:?} is none")),
                }
            }
        }
        let queue_us = self.concurrent.iter().flatten().map(|slots| slots.queue_us).max();
        if queue_us.is_some_and(|us| us > LONGEST_QUEUE_US) {
            return Err("concurrent: nobody waits so long".to_owned());
        }
        Ok(())
    }
}
