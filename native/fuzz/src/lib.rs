//! Fuzz targets as plain functions: each takes foreign bytes and panics when a promise is broken.

#![expect(clippy::missing_panics_doc, reason = "to panic is what a target does when it finds something")]

pub mod http;
pub mod replay;

// What the codec's own tests read connections with.
#[path = "../../core/tests/http/reading.rs"]
mod reading;
#[allow(dead_code, clippy::panic, reason = "shared with tests that use all of it")]
#[path = "../../core/tests/http/script.rs"]
mod script;
