//! The formats room from outside: tables of cases, and properties against slow oracles.

#![expect(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "in a test's helpers they are its verdict")]

mod agree;
mod alike;
mod body_tap;
mod content;
mod decompress;
mod drive;
mod errors;
mod estimate;
mod json_noise;
mod multipart;
mod scan;
mod scan_oracle;
mod speed;
mod splice;
mod splitter;
mod tap;
mod tap_oracle;
mod tap_repairs;
mod text;
