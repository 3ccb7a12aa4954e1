//! Anthropic's error shapes: the envelope and the `error` event.

use crate::{
    error::{Code, Error},
    json::write_string,
};

/// Anthropic's `error.type` for one of our errors.
pub const fn error_type(code: Code) -> &'static str {
    match code {
        Code::Overloaded | Code::JournalFull | Code::ShuttingDown => "overloaded_error",
        other => match other.status() {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            408 | 504 => "timeout_error",
            409 => "conflict_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "api_error",
        },
    }
}

/// The HTTP status that an `error.type` seen in a stream stands for.
pub fn status_of(error_type: &str) -> Option<u16> {
    Some(match error_type {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "billing_error" => 402,
        "permission_error" => 403,
        "not_found_error" => 404,
        "conflict_error" => 409,
        "request_too_large" => 413,
        "rate_limit_error" => 429,
        "api_error" => 500,
        "timeout_error" => 504,
        "overloaded_error" => 529,
        _ => return None,
    })
}

/// Appends `{"type":"error","error":{"type","message"},"request_id"}`.
pub fn write_error(error: &Error, request_id: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"error\",\"error\":{\"type\":");
    write_string(error_type(error.code), out);
    out.extend_from_slice(b",\"message\":");
    write_string(&error.message, out);
    out.extend_from_slice(b"},\"request_id\":");
    write_string(request_id, out);
    out.push(b'}');
}

/// Appends the same as an `error` event, which the SDK raises.
pub fn write_error_frame(error: &Error, request_id: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: error\ndata: ");
    write_error(error, request_id, out);
    out.extend_from_slice(b"\n\n");
}
