//! The HTTP codec: heads, bodies, connections, hostile input, and what other implementations make of the same bytes.

mod body;
mod conn;
mod head;
mod hostile;
mod hyper_oracle;
mod reading;
mod script;
mod write;
