//! `OpenAI`'s error shapes: the envelope, and the frames that its SDKs raise on.

use crate::{
    error::{Code, Error, Side},
    json::write_string,
};

/// `OpenAI`'s own `type` and `code` where it has one for the case, else our stable name as the code.
pub const fn type_code(code: Code) -> (&'static str, Option<&'static str>) {
    const INVALID: &str = "invalid_request_error";
    match code {
        Code::InvalidHttp | Code::InvalidRequest | Code::PathNotFound => (INVALID, None),
        Code::UnsupportedField => (INVALID, Some("unsupported_parameter")),
        Code::KeyDisabled | Code::KeyExpired => (INVALID, Some(Code::InvalidApiKey.name())),
        Code::ModelNotAllowed
        | Code::NetworkNotAllowed
        | Code::OriginNotAllowed
        | Code::PathClosed
        | Code::ModelUnpriced => ("request_forbidden", Some(code.name())),
        Code::RateLimitRequests | Code::RateLimitConcurrent => ("requests", Some("rate_limit_exceeded")),
        Code::RateLimitTokens => ("tokens", Some("rate_limit_exceeded")),
        Code::BudgetExceeded => ("insufficient_quota", Some("insufficient_quota")),
        Code::Internal | Code::UpstreamError => ("server_error", Some("server_error")),
        other => match other.side() {
            Side::Client => (INVALID, Some(other.name())),
            Side::Upstream | Side::Us => ("server_error", Some(other.name())),
        },
    }
}

/// Appends `{"error":{"message","type","param","code"}}`.
pub fn write_error(error: &Error, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"error\":");
    write_inner(error, out);
    out.push(b'}');
}

/// Appends the SSE frame on which the SDKs raise: the error must be nested under `error`.
pub fn write_error_frame(error: &Error, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    write_error(error, out);
    out.extend_from_slice(b"\n\n");
}

/// Appends an `error` event of the responses stream.
///
/// The documented event is flat (`code`, `message`, `param`), but the SDK delivers that as an ordinary event;
/// it raises `APIError` only if the data nests the error under `error`. So the frame carries both: readers of
/// the flat event find its fields, the SDK raises.
pub fn write_responses_error_frame(error: &Error, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: error\ndata: {\"type\":\"error\",\"code\":");
    write_optional(type_code(error.code).1, out);
    out.extend_from_slice(b",\"message\":");
    write_string(&error.message, out);
    out.extend_from_slice(b",\"param\":");
    write_optional(error.param.as_deref(), out);
    out.extend_from_slice(b",\"error\":");
    write_inner(error, out);
    out.extend_from_slice(b"}\n\n");
}

fn write_inner(error: &Error, out: &mut Vec<u8>) {
    let (kind, code) = type_code(error.code);
    out.extend_from_slice(b"{\"message\":");
    write_string(&error.message, out);
    out.extend_from_slice(b",\"type\":");
    write_string(kind, out);
    out.extend_from_slice(b",\"param\":");
    write_optional(error.param.as_deref(), out);
    out.extend_from_slice(b",\"code\":");
    write_optional(code, out);
    out.push(b'}');
}

fn write_optional(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        Some(text) => write_string(text, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// Appends an upstream's error in the envelope that the SDKs know.
pub fn write_upstream_error(error: &super::fields::UpstreamError, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"error\":{\"message\":");
    write_string(&error.message, out);
    out.extend_from_slice(b",\"type\":");
    write_string(error.kind.as_deref().unwrap_or("server_error"), out);
    out.extend_from_slice(b",\"param\":null,\"code\":");
    match error.status {
        Some(status) => write_string(&status.to_string(), out),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b"}}");
}
