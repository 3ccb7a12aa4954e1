//! Samples of one run and what is said about them.

use serde_json::{Value, json};

/// Times in nanoseconds; one entry a request, frame or stream.
#[derive(Default)]
pub(crate) struct Samples {
    /// From the (intended) send to the last byte, the mock's own time taken out.
    pub(crate) added: Vec<u64>,
    /// Client → upstream: from the send to the mock holding the whole request.
    pub(crate) up: Vec<u64>,
    /// Upstream → client: from the mock's first byte to the client holding the whole answer.
    pub(crate) down: Vec<u64>,
    /// Per content frame: from the mock's write to the client's read.
    pub(crate) relay: Vec<u64>,
    /// Per stream: from the send to the first content frame, the mock's own time taken out.
    pub(crate) first: Vec<u64>,
}

impl Samples {
    pub(crate) fn merge(&mut self, other: Self) {
        self.added.extend(other.added);
        self.up.extend(other.up);
        self.down.extend(other.down);
        self.relay.extend(other.relay);
        self.first.extend(other.first);
    }

    pub(crate) fn summary(mut self) -> Value {
        json!({
            "added_us": quantiles(&mut self.added),
            "up_us": quantiles(&mut self.up),
            "down_us": quantiles(&mut self.down),
            "relay_us": quantiles(&mut self.relay),
            "first_us": quantiles(&mut self.first),
        })
    }
}

/// `null` when nothing was sampled.
fn quantiles(ns: &mut [u64]) -> Value {
    ns.sort_unstable();
    let Some(max) = ns.last() else { return Value::Null };
    let us = |ns: u64| ns as f64 / 1e3;
    json!({
        "count": ns.len(),
        "p50": us(at(ns, 50)),
        "p90": us(at(ns, 90)),
        "p99": us(at(ns, 99)),
        "max": us(*max),
    })
}

/// Nearest rank: the smallest sample that `percent` of all do not exceed.
fn at(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted[rank - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let sorted: Vec<u64> = (1..=200).collect();
        assert_eq!((at(&sorted, 50), at(&sorted, 99), at(&[5], 99)), (100, 198, 5));
    }
}
