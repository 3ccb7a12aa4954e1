//! Keys from outside: the form of credentials, batches of rows, the table they make, what a credential comes to.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "in a test's helpers they are its verdict")]

mod access;
mod batch;
mod check;
mod digest;
mod format;
mod made;
mod order;
mod table;
