//! Limits from outside: windows, periods, slots and their queue, what is settled, what is released.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test's helpers they are its verdict")]
#![expect(clippy::result_large_err, reason = "a refusal is returned as it comes")]

mod admission;
mod checkpoint;
mod completed;
mod earlier;
mod gone;
mod leases;
mod made;
mod periods;
mod queue;
mod redis;
mod settle;
mod shared_away;
mod shared_line;
mod shared_lost;
mod shared_restart;
mod shared_stress;
mod stress;
mod windows;
