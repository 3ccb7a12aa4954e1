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
