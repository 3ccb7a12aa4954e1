//! Moves an answer from the upstream to the client, frame by frame.
