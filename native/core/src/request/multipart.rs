//! Finds the `model` field of a multipart form (RFC 7578) in a growing prefix of the body, and how much text the form has.

mod part;

use std::ops::Range;

use memchr::memmem;
use part::Kind;

use super::estimate::Prompt;
use crate::error::{Code, Error};

/// Longest boundary that RFC 2046 allows.
const MAX_BOUNDARY: usize = 70;
/// Most blanks behind a boundary, which RFC 2046 section 5.1.1 allows for gateways that add them.
const MAX_BLANKS: usize = 70;
/// Longest head of one part without its blank line, and longest text before the first boundary.
const MAX_PART_HEAD: usize = 8 * 1024;
/// Longest model name.
const MAX_MODEL: usize = 1024;
/// Most parts that are looked at.
const MAX_PARTS: usize = 1000;

/// What a prefix of a form tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The field `model` and where its value stands.
    Model { model: String, span: Range<usize> },
    /// Not in these bytes; call again with more.
    NeedMore,
    /// The form ended without it.
    Absent,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Before the first boundary.
    Preamble,
    /// Behind a boundary.
    Boundary,
    /// In the head of a part that begins at `pos`.
    Head,
    /// In the value of a part, which begins at `start`.
    Value {
        kind: Kind,
        start: usize,
    },
    Ended,
}

/// Reads a form; keeps its place between calls, so that a growing prefix is read once.
#[derive(Clone, Debug)]
pub struct Form {
    /// CR LF, two hyphens and the boundary.
    delimiter: Vec<u8>,
    state: State,
    /// Everything before it was read.
    pos: usize,
    parts: usize,
    model: Option<(String, Range<usize>)>,
    /// Of the values that were read to their ends.
    prompt: Prompt,
}

impl Form {
    /// Takes the boundary from a `content-type` value.
    pub fn new(content_type: &[u8]) -> Result<Self, Error> {
        let boundary = part::parameters(content_type)
            .and_then(|params| {
                let mut found = params.into_iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"boundary"));
                found.next().filter(|_| found.next().is_none())
            })
            .map(|(_, value)| value)
            .filter(|value| is_boundary(value));
        let Some(boundary) = boundary else {
            return Err(malformed("its content-type names no valid boundary"));
        };
        let delimiter = [b"\r\n--", boundary.as_slice()].concat();
        Ok(Self { delimiter, state: State::Preamble, pos: 0, parts: 0, model: None, prompt: Prompt::default() })
    }

    /// Looks for `model`; `prefix` is the body so far, from its first byte, and only ever grows.
    ///
    /// Reads on to the end of the prefix, so that a second `model` there is refused.
    pub fn find_model(&mut self, prefix: &[u8]) -> Result<Found, Error> {
        while self.step(prefix)? {}
        Ok(match (&self.model, self.state) {
            (Some((model, span)), _) => Found::Model { model: model.clone(), span: span.clone() },
            (None, State::Ended) => Found::Absent,
            (None, _) => Found::NeedMore,
        })
    }

    /// What the form holds as far as it was read: the `length` bytes that were given to [`find_model`](Self::find_model).
    pub fn prompt(&self, length: usize) -> Prompt {
        let mut prompt = self.prompt;
        if let State::Value { kind, start } = self.state {
            add(&mut prompt, kind, length.saturating_sub(start));
        }
        prompt
    }

    /// One step on; false if more bytes are needed or nothing is left to do.
    fn step(&mut self, body: &[u8]) -> Result<bool, Error> {
        match self.state {
            State::Preamble => self.preamble(body),
            State::Boundary => self.boundary(body),
            State::Head => self.head(body),
            State::Value { kind, start } => self.value(body, kind, start),
            State::Ended => Ok(false),
        }
    }

    fn preamble(&mut self, body: &[u8]) -> Result<bool, Error> {
        // The first boundary may be the first thing, without a line end before it.
        let first = &self.delimiter[2..];
        if self.pos == 0 {
            if body.starts_with(first) {
                self.pos = first.len();
                self.state = State::Boundary;
                return Ok(true);
            }
            if first.starts_with(body) {
                return Ok(false);
            }
        }
        // Where the boundary begins, or the first place where it still may.
        let found = self.next_delimiter(body);
        if found.unwrap_or(self.pos) > MAX_PART_HEAD {
            return Err(malformed("its first boundary is missing"));
        }
        if found.is_some() {
            self.state = State::Boundary;
        }
        Ok(found.is_some())
    }

    /// Finds a delimiter from `pos` on, and moves behind it; its beginning.
    fn next_delimiter(&mut self, body: &[u8]) -> Option<usize> {
        let rest = body.get(self.pos..)?;
        if let Some(at) = memmem::find(rest, &self.delimiter) {
            let start = self.pos + at;
            self.pos = start + self.delimiter.len();
            return Some(start);
        }
        // A delimiter may have begun in the last bytes.
        self.pos = self.pos.max((body.len() + 1).saturating_sub(self.delimiter.len()));
        None
    }

    /// What follows the boundary: the end of its line, or two hyphens and the end of the form.
    fn boundary(&mut self, body: &[u8]) -> Result<bool, Error> {
        let rest = &body[self.pos..];
        let blanks = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        match &rest[blanks..] {
            // Before all else: the answer must not hang on how much has come.
            _ if blanks > MAX_BLANKS => Err(malformed("too many blanks follow a boundary")),
            [b'\r', b'\n', ..] => {
                self.parts += 1;
                if self.parts > MAX_PARTS {
                    return Err(malformed("it has too many parts"));
                }
                self.pos += blanks + 2;
                self.state = State::Head;
                Ok(true)
            }
            [b'-', b'-', ..] if blanks == 0 => {
                self.state = State::Ended;
                Ok(false)
            }
            [] | [b'\r'] => Ok(false),
            [b'-'] if blanks == 0 => Ok(false),
            _ => Err(malformed("something follows a boundary on its line")),
        }
    }

    fn head(&mut self, body: &[u8]) -> Result<bool, Error> {
        let rest = &body[self.pos..];
        // An empty head is its blank line alone.
        let length = if rest.starts_with(b"\r\n") { Some(0) } else { memmem::find(rest, b"\r\n\r\n").map(|n| n + 2) };
        let Some(length) = length.filter(|&n| n <= MAX_PART_HEAD) else {
            return if rest.len() >= MAX_PART_HEAD + b"\r\n".len() {
                Err(malformed("the head of a part is too long"))
            } else {
                Ok(false)
            };
        };
        let kind = part::kind(&rest[..length]).map_err(malformed)?;
        if kind == Kind::Model && self.model.is_some() {
            let message = "The field \"model\" stands twice in the multipart body.";
            return Err(Error::new(Code::DuplicateField, message).at("model"));
        }
        let start = self.pos + length + 2;
        // The delimiter of an empty value begins with the blank line's own end.
        self.pos = start - 2;
        self.state = State::Value { kind, start };
        Ok(true)
    }

    fn value(&mut self, body: &[u8], kind: Kind, start: usize) -> Result<bool, Error> {
        let Some(end) = self.next_delimiter(body) else {
            let too_long = kind == Kind::Model && body.len() > start + MAX_MODEL + self.delimiter.len();
            return if too_long { Err(bad_model("is too long")) } else { Ok(false) };
        };
        let span = start..end.max(start);
        let length = span.len();
        if kind == Kind::Model {
            self.take_model(&body[span.clone()], span)?;
        }
        add(&mut self.prompt, kind, length);
        self.state = State::Boundary;
        Ok(true)
    }

    fn take_model(&mut self, value: &[u8], span: Range<usize>) -> Result<(), Error> {
        if value.len() > MAX_MODEL {
            return Err(bad_model("is too long"));
        }
        let text = std::str::from_utf8(value).map_err(|_| bad_model("is not valid UTF-8"))?;
        self.model = Some((text.to_owned(), span));
        Ok(())
    }
}

/// Counts a value of `length` bytes.
fn add(prompt: &mut Prompt, kind: Kind, length: usize) {
    match kind {
        Kind::Model | Kind::Text => prompt.text_bytes += length as u64,
        Kind::Image => prompt.images += 1,
        Kind::File => prompt.file_bytes += length as u64,
    }
}

/// RFC 2046 section 5.1.1.
fn is_boundary(value: &[u8]) -> bool {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(b);
    (1..=MAX_BOUNDARY).contains(&value.len()) && value.iter().all(allowed) && !value.ends_with(b" ")
}

fn malformed(what: &str) -> Error {
    Error::new(Code::InvalidRequest, format!("The multipart body is malformed: {what}."))
}

fn bad_model(what: &str) -> Error {
    Error::new(Code::InvalidRequest, format!("The field \"model\" of the multipart body {what}.")).at("model")
}
