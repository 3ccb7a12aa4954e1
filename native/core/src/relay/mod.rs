//! Moves an answer from the upstream to the client, frame by frame.

pub mod decompress;
mod flow;
pub mod frames;
mod sse;
pub mod tap;
