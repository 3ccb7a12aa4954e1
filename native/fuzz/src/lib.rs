//! Fuzz targets as plain functions: each takes foreign bytes and panics when a promise is broken.

#![expect(clippy::missing_panics_doc, reason = "to panic is what a target does when it finds something")]

pub mod frames;
pub mod http;
pub mod journal;
pub mod keys;
pub mod multipart;
pub mod replay;
pub mod scan;
pub mod tap;
pub mod tokens;

// What the codec's own tests read connections with.
#[path = "../../core/tests/http/reading.rs"]
mod reading;
#[allow(dead_code, clippy::panic, reason = "shared with tests that use all of it")]
#[path = "../../core/tests/http/script.rs"]
mod script;

// What the formats room's own tests judge by.
#[allow(dead_code, reason = "shared with tests that use all of it")]
#[path = "../../core/tests/formats_suite/drive.rs"]
mod drive;
#[path = "../../core/tests/formats_suite/agree.rs"]
mod scan_oracle;

// What the tokens room's own tests judge by.
#[allow(dead_code, clippy::expect_used, reason = "shared with tests that use all of it")]
#[path = "../../core/tests/tokens/oracle.rs"]
mod tokens_oracle;
