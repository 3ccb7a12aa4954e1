//! The head of a request: request line, fields, and the framing of its body.

use std::mem::MaybeUninit;

use super::{
    Field, Framing, HeadError, HeadLimits, Span, Version, connection_options,
    fields::{Expect, Facts, MAX_FIELDS, after_crlf, offset},
    find, target,
};

/// A request's head; spans index the bytes that were parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHead {
    pub method: Span,
    /// `/path?query`, or `*`; of an absolute form only this part.
    pub target: Span,
    pub version: Version,
    pub fields: Vec<Field>,
    pub framing: Framing,
    /// Whether the connection may be used again after this request.
    pub keep_alive: bool,
    /// The client waits for a 100 before it sends the body.
    pub expect_continue: bool,
    /// The client asks for another protocol; an offer of `h2c`, which may be ignored, is not counted.
    pub upgrade: bool,
    /// Length of the head with its empty line, and with the empty line that may come before it.
    pub len: usize,
}

impl RequestHead {
    /// `Some` when `bytes` begin with a whole head. Looks at `limits.bytes` bytes at most; `fields` keeps its storage.
    pub fn parse(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Option<()>, HeadError> {
        self.fields.clear();
        let whole = bytes.len() >= limits.bytes;
        let bytes = &bytes[..bytes.len().min(limits.bytes)];
        let partial = if whole { Err(HeadError::TooLarge) } else { Ok(None) };
        let Some(begin) = skip_empty_line(bytes)? else { return partial };
        let mut room = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let room = &mut room[..limits.fields.min(MAX_FIELDS)];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(&bytes[begin..], room).map_err(refusal)? {
            httparse::Status::Complete(_) => {}
            httparse::Status::Partial if whole && request.path.is_none_or(|p| p.len() > limits.target) => {
                return Err(HeadError::TargetTooLong);
            }
            httparse::Status::Partial => return partial,
        }
        let (Some(method), Some(path)) = (request.method, request.path) else { return partial };
        if path.len() > limits.target {
            return Err(HeadError::TargetTooLong);
        }
        let path_at = offset(bytes, path.as_bytes());
        let version_at = path_at + path.len() + 1;
        let first_field = after_crlf(bytes, version_at + "HTTP/1.1".len())?;
        let (facts, len) = Facts::read(bytes, first_field, request.headers, &mut self.fields)?;
        self.method = Span::new(begin, begin + method.len());
        self.target = Span::new(path_at, path_at + path.len());
        self.version = if request.version == Some(0) { Version::Http10 } else { Version::Http11 };
        self.len = len;
        self.conclude(bytes, &facts).map(Some)
    }

    /// Draws the conclusions that need more than one field.
    fn conclude(&mut self, bytes: &[u8], facts: &Facts) -> Result<(), HeadError> {
        let modern = self.version == Version::Http11;
        let method = self.method.of(bytes);
        if method == b"CONNECT" {
            return Err(HeadError::Connect);
        }
        match facts.host {
            Some(host) => target::check_host(host.of(bytes))?,
            None if modern => return Err(HeadError::Malformed("Host is missing")),
            None => {}
        }
        self.target = target::check(bytes, method, self.target, facts.host)?;
        self.framing = match facts.length {
            _ if facts.chunked && !modern => return Err(HeadError::Malformed("Transfer-Encoding in HTTP/1.0")),
            _ if facts.chunked => Framing::Chunked,
            Some(length) => Framing::Fixed(length),
            None => Framing::Empty,
        };
        self.expect_continue = match facts.expect {
            Expect::Other if modern => return Err(HeadError::Expectation),
            Expect::Continue => modern && !matches!(self.framing, Framing::Empty | Framing::Fixed(0)),
            _ => false,
        };
        self.keep_alive = !facts.close && (modern || facts.keep_alive);
        self.upgrade = modern && facts.upgrade;
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

/// One CR LF may come before a request line (RFC 9112, 2.2); old clients send it after a body.
fn skip_empty_line(bytes: &[u8]) -> Result<Option<usize>, HeadError> {
    match bytes {
        [] | [b'\r'] | [b'\r', b'\n'] => Ok(None),
        [b'\r', b'\n', b'\r' | b'\n', ..] => Err(HeadError::Malformed("empty lines before the request line")),
        [b'\r', b'\n', ..] => Ok(Some(2)),
        [b'\r' | b'\n', ..] => Err(super::fields::LINE_END),
        _ => Ok(Some(0)),
    }
}

fn refusal(error: httparse::Error) -> HeadError {
    match error {
        httparse::Error::TooManyHeaders => HeadError::TooManyFields,
        httparse::Error::Version => HeadError::Version,
        httparse::Error::HeaderName => HeadError::Malformed("a field name that is not a token followed by a colon"),
        httparse::Error::HeaderValue => HeadError::Malformed("a character that a field value cannot have"),
        httparse::Error::NewLine => super::fields::LINE_END,
        _ => HeadError::Malformed("the request line is not method, target and version with single spaces"),
    }
}
