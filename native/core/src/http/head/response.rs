//! The head of an answer: status line, fields, and the framing of its body.

use std::mem::MaybeUninit;

use super::{
    Field, Framing, HeadError, HeadLimits, Version, connection_options,
    fields::{Facts, LINE_END, MAX_FIELDS},
    find,
};

/// An answer's head; spans index the bytes that were parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead {
    pub status: u16,
    pub version: Version,
    pub fields: Vec<Field>,
    pub framing: Framing,
    /// Whether the connection may be used again after this answer.
    pub keep_alive: bool,
    /// Length of the head with its empty line.
    pub len: usize,
}

impl ResponseHead {
    /// `Some` when `bytes` begin with a whole head, 1xx ones included. Looks at `limits.bytes` bytes at most.
    pub fn parse(
        &mut self,
        bytes: &[u8],
        limits: &HeadLimits,
        request_was_head: bool,
    ) -> Result<Option<()>, HeadError> {
        self.fields.clear();
        let whole = bytes.len() >= limits.bytes;
        let bytes = &bytes[..bytes.len().min(limits.bytes)];
        if matches!(bytes, [b'\r' | b'\n', ..]) {
            return Err(HeadError::Malformed("an empty line before the status line"));
        }
        let mut room = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let room = &mut room[..limits.fields.min(MAX_FIELDS)];
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, room);
        let (httparse::Status::Complete(_), Some(status)) = (parsed.map_err(refusal)?, response.code) else {
            return if whole { Err(HeadError::TooLarge) } else { Ok(None) };
        };
        if !(100..600).contains(&status) {
            return Err(HeadError::Malformed("a status code outside 100 to 599"));
        }
        let first_field = memchr::memchr(b'\n', bytes).map_or(0, |at| at + 1);
        if !bytes[..first_field].ends_with(b"\r\n") {
            return Err(LINE_END);
        }
        let (facts, len) = Facts::read(bytes, first_field, response.headers, &mut self.fields)?;
        self.status = status;
        self.version = if response.version == Some(0) { Version::Http10 } else { Version::Http11 };
        self.len = len;
        self.conclude(&facts, request_was_head).map(Some)
    }

    fn conclude(&mut self, facts: &Facts, request_was_head: bool) -> Result<(), HeadError> {
        let modern = self.version == Version::Http11;
        if facts.chunked && !modern {
            return Err(HeadError::Malformed("Transfer-Encoding in HTTP/1.0"));
        }
        let never = matches!(self.status, 100..=199 | 204);
        if never && (facts.chunked || facts.length.is_some_and(|n| n > 0)) {
            // Some recipients would read a body here (RFC 9112, 6.1 and 6.2 forbid both fields).
            return Err(HeadError::Malformed("a body announced in an answer that cannot have one"));
        }
        self.framing = match facts.length {
            _ if never || request_was_head || self.status == 304 => Framing::Empty,
            _ if facts.chunked => Framing::Chunked,
            Some(length) => Framing::Fixed(length),
            None => Framing::UntilClose,
        };
        self.keep_alive = !facts.close && (modern || facts.keep_alive) && self.framing != Framing::UntilClose;
        Ok(())
    }

    /// The value of the first field of that name, in any case.
    pub fn field<'a>(&self, bytes: &'a [u8], name: &str) -> Option<&'a [u8]> {
        find(&self.fields, bytes, name)
    }

    /// All fields as (name, value), in the order they came.
    pub fn fields<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.fields.iter().map(|f| (f.name.of(bytes), f.value.of(bytes)))
    }

    /// The options of all `Connection` fields: names of fields that go no further than this hop.
    pub fn connection_options<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        connection_options(&self.fields, bytes)
    }
}

fn refusal(error: httparse::Error) -> HeadError {
    match error {
        httparse::Error::TooManyHeaders => HeadError::TooManyFields,
        httparse::Error::Version => HeadError::Version,
        httparse::Error::HeaderName => HeadError::Malformed("a field name that is not a token followed by a colon"),
        httparse::Error::HeaderValue => HeadError::Malformed("a character that a field value cannot have"),
        httparse::Error::NewLine => LINE_END,
        _ => HeadError::Malformed("the status line is not version, code and reason"),
    }
}
