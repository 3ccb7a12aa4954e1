//! Proves the upstream room with real sockets on loopback: pool, bound, names, dialling, TLS, proxies, cancellation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod cancel;
mod connect;
mod gate;
mod names;
mod pool;
mod proxy;
mod storm;
mod support;
mod tls;
