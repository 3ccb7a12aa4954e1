//! Keys: how a credential is read, whose it is, and what that one may do.

pub mod access;
pub mod batch;
pub mod check;
pub mod digest;
pub mod format;
mod interned;
pub mod row;
mod shard;
pub mod table;
pub mod tags;

/// The key that all requests are with `auth: open`. No key has so short an id.
pub const OPEN: &str = "open";

pub use self::{
    access::Access,
    batch::Batch,
    check::{Checked, Credential, Refusal},
    digest::{Digest, Digests},
    format::KeyId,
    row::{KeyRow, TeamRow},
    table::Table,
    tags::{Tagged, Tags},
};
