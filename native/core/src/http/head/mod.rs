//! Message heads as spans over the bytes they came in, and what they say about the body that follows.

mod fields;
mod request;
mod response;
mod target;

pub use request::RequestHead;
pub use response::ResponseHead;

use super::{chars::trim, names::same};

/// A range of the bytes of a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// The bytes it stands for; empty if it does not belong to `bytes`.
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    pub(super) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }
}

/// One field line; the value has no white space at its ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Field {
    pub name: Span,
    pub value: Span,
}

/// Bounds on a head; `bytes` counts everything up to and with the empty line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    pub bytes: usize,
    /// At most 128, whatever is asked for.
    pub fields: usize,
    pub target: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { bytes: 32 * 1024, fields: 100, target: 8 * 1024 }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    Http10,
    #[default]
    Http11,
}

/// Where the body of a message ends (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    #[default]
    Empty,
    Fixed(u64),
    Chunked,
    /// Answers only: the body ends with the connection.
    UntilClose,
}

/// Why a head is refused. The connection cannot be used after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub enum HeadError {
    TooLarge,
    TooManyFields,
    TargetTooLong,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    Version,
    /// A transfer coding other than `chunked`, or more than one.
    UnknownCoding,
    /// An `Expect` other than `100-continue`.
    Expectation,
    /// A `CONNECT` request.
    Connect,
    /// A 101 answer, which nobody asked for.
    SwitchingProtocols,
    /// Too many 1xx answers before the real one.
    TooManyInterim,
    /// Against the grammar, or open to more than one reading.
    Malformed(&'static str),
}

impl HeadError {
    /// What is wrong, as a phrase for a message.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge => "the head is too large",
            Self::TooManyFields => "the head has too many fields",
            Self::TargetTooLong => "the request target is too long",
            Self::Version => "the version is neither HTTP/1.0 nor HTTP/1.1",
            Self::UnknownCoding => "a transfer coding other than a single `chunked`",
            Self::Expectation => "an Expect other than 100-continue",
            Self::Connect => "CONNECT is not served",
            Self::SwitchingProtocols => "a 101 answer that nobody asked for",
            Self::TooManyInterim => "too many 1xx answers",
            Self::Malformed(reason) => reason,
        }
    }
}

/// The value of the first field of that name, in any case.
fn find<'a>(fields: &[Field], bytes: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let same = |f: &&Field| {
        (f.name.end - f.name.start) as usize == name.len() && f.name.of(bytes).eq_ignore_ascii_case(name.as_bytes())
    };
    fields.iter().find(same).map(|f| f.value.of(bytes))
}

/// The members of a comma-separated list, without empty ones.
fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(trim).filter(|member| !member.is_empty())
}

/// The options of all `Connection` fields: the names of fields that go no further than this hop.
fn connection_options<'a>(fields: &'a [Field], bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let connection = |f: &&Field| same(f.name.of(bytes), "connection");
    fields.iter().filter(connection).flat_map(|f| members(f.value.of(bytes)))
}
