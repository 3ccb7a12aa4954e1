//! Listeners, workers and the connection task.

mod admin;
pub mod audit;
mod beyond;
pub mod connection;
pub mod cuts;
mod engine;
pub mod health;
mod journaled;
mod kept;
mod lag;
mod leases;
mod limited;
mod listener;
mod parking;
pub mod shared;
pub mod stream;
pub mod timer;
pub mod worker;

pub use engine::{Engine, Options, SharedOptions};

/// What a listener is for: clients' requests, or administration and metrics, never on the data port.
pub use crate::observe::Listener as Role;

/// The role of that name: `data` or `admin`.
pub fn role(name: &str) -> Option<Role> {
    match name {
        "data" => Some(Role::Data),
        "admin" => Some(Role::Admin),
        _ => None,
    }
}
