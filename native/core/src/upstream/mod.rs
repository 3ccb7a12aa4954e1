//! Connections to providers: names, addresses, proxies, TLS, the pool.
//!
//! | process-wide (`Send + Sync`) | per worker (`Rc`) |
//! |---|---|
//! | [`Network`]: one [`Host`] per [`Origin`], the TLS settings | [`Pool`]: idle connections, newest first |
//! | [`Host`]: in-use bound with one fair queue, addresses, memory of failures, counts | [`Lease`]: one connection in use |
//!
//! The common path is [`Pool::connect`] finding an idle connection: one permit, one pop, no wait, no system call.

mod connect;
mod gate;
mod host;
mod lease;
mod network;
mod origin;
mod pool;
mod proxy;
mod resolve;
mod stream;
mod tls;

pub use host::{Host, Stats};
pub use lease::Lease;
pub use network::{Network, NetworkOptions};
pub use origin::{Origin, Proxy};
pub use pool::Pool;
pub use resolve::{Resolve, SystemResolver};
pub use stream::UpstreamStream;
