//! Penstock's data plane: everything that touches a byte, a clock or a counter of a request.

pub mod boxed;
pub mod clock;
pub mod content;
pub mod dialects;
pub mod error;
pub mod http;
pub mod journal;
pub mod json;
pub mod keys;
pub mod limits;
pub mod named;
pub mod observe;
pub mod questions;
pub mod relay;
pub mod request;
pub mod route;
pub mod server;
pub mod snapshot;
pub mod spare;
pub mod tokens;
pub mod upstream;
