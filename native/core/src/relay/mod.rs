//! Moves an answer from the upstream to the client, frame by frame.

pub mod decompress;
pub mod frames;
pub mod tap;
