//! Tokens from outside: counts against a slow oracle, chats against sums made by hand.

#![expect(clippy::expect_used, reason = "in a test's helpers they are its verdict")]

mod chat;
mod count;
mod oracle;
mod tally;
