//! Ollama's error shape, and the empty object that stands for a keep-alive.

use crate::{clock::write_utc, error::Error, json::write_string};

/// Appends `{"error":"text"}`, the shape of both error answers and mid-stream errors.
pub fn write_error(error: &Error, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"error\":");
    write_string(&error.message, out);
    out.push(b'}');
}

/// Appends a line that the client reads as a chunk without text.
pub fn write_keep_alive(generate: bool, model: &str, utc_us: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"model\":");
    write_string(model, out);
    out.extend_from_slice(b",\"created_at\":\"");
    write_utc(utc_us, out);
    out.extend_from_slice(if generate {
        b"\",\"response\":\"\",\"done\":false}\n".as_slice()
    } else {
        b"\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":false}\n"
    });
}
