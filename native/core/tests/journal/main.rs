//! The journal: what survives a cut of power, what is told of damage, how it keeps within its bounds.

#![expect(clippy::unwrap_used, reason = "in a test's helpers they are its verdict")]

mod batches;
mod bounds;
mod crash;
mod entries;
mod forgetting;
mod kept;
mod made;
mod reading;
mod rows;
mod shipped;
mod sim;
mod verifying;
