//! What is wrong with a document of Python's.

/// Says what is wrong with `what`, without any value that the document holds: one may be a secret.
pub(crate) fn shape_error(what: &str, error: &serde_json::Error) -> String {
    let text = error.to_string();
    let shown = ["unknown field", "unknown variant", "missing field", "duplicate field", "EOF", "expected"];
    let wrong = if shown.iter().any(|s| text.starts_with(s)) { text.as_str() } else { "not of the expected shape" };
    format!("{what}: {wrong} (line {}, column {})", error.line(), error.column())
}
