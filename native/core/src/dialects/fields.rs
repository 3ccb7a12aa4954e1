//! The few places of an answer's JSON that the taps read, for all dialects at once.

/// An error that an upstream stated inside an answer with status 200.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamError {
    /// The HTTP status it would have had, where it can be told.
    pub status: Option<u16>,
    pub message: String,
    /// The upstream's `type` or `code`.
    pub kind: Option<String>,
}

/// Where in the JSON a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Nowhere,
    Root,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Fields {}
