//! The rooms between codec and upstream, from outside: names, addresses, ids, paths, snapshots, time, the engine.

#![expect(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "in a test's helpers they are its verdict")]

mod client_address;
mod counted;
mod document;
mod endpoint;
mod engine;
mod house;
mod ids;
mod keyed;
mod keys;
mod keys_cut;
mod keys_leak;
mod keys_models;
mod keys_own;
mod keys_verify;
mod limited;
mod limits_held;
mod prices;
mod process;
mod route;
mod settled;
mod shared;
mod slow;
mod snapshot;
mod stopping;
mod timer;
mod waits;
