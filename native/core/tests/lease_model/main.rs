//! The leases of shared limits as a model: the script that Redis runs, nodes, and everything that goes wrong between them.
//!
//! The script is the real one, run by the same Lua over a Redis of a few lines whose clock is moved by hand.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test's helpers they are its verdict")]

mod edges;
mod fleet;
mod losses;
mod node;
mod plain;
mod real;
mod redis;
mod sentence;
mod world;

/// How many histories a property is tried on: `ROUNDS`, where it says so.
fn config() -> proptest::test_runner::Config {
    let rounds = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(300);
    proptest::test_runner::Config::with_cases(rounds)
}
