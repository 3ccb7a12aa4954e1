//! Limits from outside: windows, periods, slots and their queue, what is settled, what is released.

#![expect(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "in a test's helpers they are its verdict")]

mod admission;
mod checkpoint;
mod made;
mod periods;
mod queue;
mod settle;
mod windows;
