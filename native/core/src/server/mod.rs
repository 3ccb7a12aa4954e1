//! Listeners, workers and the connection task.

mod admin;
pub mod connection;
mod engine;
mod health;
mod lag;
mod listener;
mod parking;
pub mod shared;
pub mod stream;
pub mod timer;
pub mod worker;

pub use engine::{Engine, Options};

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Clients' requests.
    Data,
    /// Administration and metrics; never on the data port.
    Admin,
}

impl Role {
    /// `data` or `admin`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "data" => Some(Self::Data),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Admin => "admin",
        }
    }
}
