//! The HTTP codec: heads, bodies, connections, hostile input, and what other implementations make of the same bytes.

#![expect(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "in a test's helpers they are its verdict")]

mod body;
mod conn;
mod head;
mod hostile;
mod hyper_oracle;
mod reading;
mod script;
mod sockets;
mod streamed;
mod write;
