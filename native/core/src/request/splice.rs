//! Edits a request body by ranges, so that every other byte goes upstream as the client sent it.

use super::scan::{Scan, Span};
use crate::json::write_string;

/// One edit: the bytes of `span` (empty for an insertion) become `bytes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub span: Span,
    pub bytes: Vec<u8>,
}

/// Edits in the order of the body; they do not overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Splice {
    edits: Vec<Edit>,
}

impl Splice {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an edit; one that overlaps an earlier one replaces it.
    pub fn add(&mut self, edit: Edit) {
        let overlaps = |e: &Edit| e.span.start < edit.span.end && edit.span.start < e.span.end;
        self.edits.retain(|e| !overlaps(e));
        let at = self.edits.partition_point(|e| e.span.start <= edit.span.start);
        self.edits.insert(at, edit);
    }

    /// Gives the value at `span` another text.
    pub fn replace(&mut self, span: Span, bytes: impl Into<Vec<u8>>) {
        self.add(Edit { span, bytes: bytes.into() });
    }

    /// Gives `model` another name; adds the field if it is missing.
    pub fn set_model(&mut self, scan: &Scan<'_>, model: &str) {
        let mut value = Vec::with_capacity(model.len() + 2);
        write_string(model, &mut value);
        match &scan.model {
            Some(text) => self.replace(text.span.clone(), value),
            None => self.insert_field(scan, "model", &value),
        }
    }

    /// Adds a field at the front of the outer object; `value` is JSON.
    pub fn insert_field(&mut self, scan: &Scan<'_>, name: &str, value: &[u8]) {
        let at = scan.object.start + 1;
        // Two insertions stand at the same place: all but the last need a comma even in an empty object.
        let comma = !scan.empty || self.edits.iter().any(|e| e.span == (at..at));
        let edit = insertion(at, name, value, comma);
        let place = self.edits.partition_point(|e| e.span.start < at);
        self.edits.insert(place, edit);
    }

    /// True if nothing changes.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// The length of the edited body.
    pub fn len(&self, body: &[u8]) -> usize {
        self.edits.iter().fold(body.len(), |len, e| len + e.bytes.len() - e.span.len())
    }

    /// The edited body as slices, none of them empty.
    pub fn pieces<'a>(&'a self, body: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let mut from = 0;
        self.edits
            .iter()
            .flat_map(move |edit| {
                let kept = &body[from..edit.span.start];
                from = edit.span.end;
                [kept, edit.bytes.as_slice()]
            })
            .chain(std::iter::once(&body[self.edits.last().map_or(0, |e| e.span.end)..]))
            .filter(|piece| !piece.is_empty())
    }

    /// The edited body in one piece.
    pub fn apply(&self, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len(body));
        self.pieces(body).for_each(|piece| out.extend_from_slice(piece));
        out
    }
}

fn insertion(at: usize, name: &str, value: &[u8], comma: bool) -> Edit {
    let mut bytes = Vec::with_capacity(name.len() + value.len() + 4);
    write_string(name, &mut bytes);
    bytes.push(b':');
    bytes.extend_from_slice(value);
    if comma {
        bytes.push(b',');
    }
    Edit { span: at..at, bytes }
}

/// The edit that makes an upstream state its usage in a stream, if the client did not ask for it itself.
///
/// For chat and completions only, and only towards providers that know the field; with `Some` the usage-only
/// frame must be swallowed.
pub fn stream_usage_edit(scan: &Scan<'_>) -> Option<Edit> {
    if !matches!(scan.stream, Some((_, true))) {
        return None;
    }
    let Some(options) = &scan.stream_options else {
        return Some(insertion(scan.object.start + 1, "stream_options", b"{\"include_usage\":true}", !scan.empty));
    };
    if !options.is_object {
        return Some(Edit { span: options.span.clone(), bytes: b"{\"include_usage\":true}".to_vec() });
    }
    match &options.include_usage {
        Some((_, Some(true))) => None,
        Some((span, _)) => Some(Edit { span: span.clone(), bytes: b"true".to_vec() }),
        None => Some(insertion(options.span.start + 1, "include_usage", b"true", !options.empty)),
    }
}
