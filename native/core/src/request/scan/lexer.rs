//! A strict JSON reader without recursion: advances over values and says where they end.

use super::{Span, invalid};
use crate::{
    error::Error,
    json::strings::{Passed, pass},
};

/// Deepest nesting that can be allowed: one bit each tells objects from arrays.
const MAX_DEPTH: usize = 128;

/// Reads UTF-8 that was checked before.
pub(super) struct Lexer<'a> {
    body: &'a [u8],
    pos: usize,
    max_depth: usize,
    /// Strings still to come of which more is known, as [`super::Ahead`] has them.
    known: &'a [(usize, usize)],
}

/// What kind of value was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    Text,
    Number,
    True,
    False,
    Null,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(body: &'a [u8], max_depth: usize, known: &'a [(usize, usize)]) -> Self {
        Self { body, pos: 0, max_depth: max_depth.clamp(1, MAX_DEPTH), known }
    }

    pub(super) fn pos(&self) -> usize {
        self.pos
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.body.get(self.pos).copied()
    }

    pub(super) fn bytes(&self, span: &Span) -> &'a [u8] {
        &self.body[span.clone()]
    }

    #[inline]
    pub(super) fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.pos += 1;
        }
    }

    /// Nothing but blanks may be left.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        self.skip_blanks();
        if self.pos == self.body.len() { Ok(()) } else { Err(self.error("something follows the end of the JSON")) }
    }

    /// Passes an object member by member: `visit` gets the name with its quotes and must pass the value.
    pub(super) fn members(&mut self, mut visit: impl FnMut(&mut Self, Span) -> Result<(), Error>) -> Result<(), Error> {
        self.pos += 1;
        self.skip_blanks();
        if self.peek() == Some(b'}') {
            self.pos += 1;
            return Ok(());
        }
        loop {
            let name = self.name()?;
            visit(self, name)?;
            self.skip_blanks();
            match self.peek() {
                Some(b',') => self.pos += 1,
                Some(b'}') => {
                    self.pos += 1;
                    return Ok(());
                }
                _ => return Err(self.error("a comma or } is expected")),
            }
            self.skip_blanks();
        }
    }

    /// The same for an array and its elements.
    pub(super) fn elements(&mut self, mut visit: impl FnMut(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        self.pos += 1;
        self.skip_blanks();
        if self.peek() == Some(b']') {
            self.pos += 1;
            return Ok(());
        }
        loop {
            visit(self)?;
            self.skip_blanks();
            match self.peek() {
                Some(b',') => self.pos += 1,
                Some(b']') => {
                    self.pos += 1;
                    return Ok(());
                }
                _ => return Err(self.error("a comma or ] is expected")),
            }
        }
    }

    /// Passes one value of the outer object, and the blanks before it.
    pub(super) fn value(&mut self) -> Result<(Kind, Span), Error> {
        self.value_within(1)
    }

    /// The same for what stands in an object or array that is such a value.
    pub(super) fn nested_value(&mut self) -> Result<(Kind, Span), Error> {
        self.value_within(2)
    }

    fn value_within(&mut self, depth: usize) -> Result<(Kind, Span), Error> {
        self.skip_blanks();
        let start = self.pos;
        let kind = self.scalar_or_open()?;
        if matches!(kind, Kind::Object | Kind::Array) {
            self.nested(kind, depth)?;
        }
        Ok((kind, start..self.pos))
    }

    /// Passes a name and its colon, and the blanks behind it.
    fn name(&mut self) -> Result<Span, Error> {
        if self.peek() != Some(b'"') {
            return Err(self.error("a field name in double quotes is expected"));
        }
        let start = self.pos;
        self.string()?;
        let name = start..self.pos;
        self.skip_blanks();
        if self.peek() != Some(b':') {
            return Err(self.error("a colon is expected"));
        }
        self.pos += 1;
        self.skip_blanks();
        Ok(name)
    }

    /// Passes the rest of a container that was just opened inside `outer` others.
    fn nested(&mut self, kind: Kind, outer: usize) -> Result<(), Error> {
        let mut depth = outer + 1;
        // A set bit is an object; bit 0 is the innermost container.
        let mut objects = u128::from(kind == Kind::Object);
        let mut fresh = true;
        if depth > self.max_depth {
            return Err(self.too_deep());
        }
        loop {
            self.skip_blanks();
            let in_object = objects & 1 == 1;
            let close = if in_object { b'}' } else { b']' };
            match self.peek() {
                Some(b) if b == close => {
                    self.pos += 1;
                    depth -= 1;
                    objects >>= 1;
                    fresh = false;
                    if depth == outer {
                        return Ok(());
                    }
                    continue;
                }
                Some(b',') if !fresh => {
                    self.pos += 1;
                    self.skip_blanks();
                }
                _ if fresh => {}
                _ if in_object => return Err(self.error("a comma or } is expected")),
                _ => return Err(self.error("a comma or ] is expected")),
            }
            if in_object {
                self.name()?;
            }
            fresh = false;
            let kind = self.scalar_or_open()?;
            if matches!(kind, Kind::Object | Kind::Array) {
                depth += 1;
                if depth > self.max_depth {
                    return Err(self.too_deep());
                }
                objects = objects << 1 | u128::from(kind == Kind::Object);
                fresh = true;
            }
        }
    }

    /// Passes a scalar, or the opening of a container.
    #[inline]
    fn scalar_or_open(&mut self) -> Result<Kind, Error> {
        let kind = match self.peek() {
            Some(b'"') => {
                self.string()?;
                return Ok(Kind::Text);
            }
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                return Ok(Kind::Number);
            }
            Some(b't') => return self.literal(b"true", Kind::True),
            Some(b'f') => return self.literal(b"false", Kind::False),
            Some(b'n') => return self.literal(b"null", Kind::Null),
            _ => return Err(self.error("a value is expected")),
        };
        self.pos += 1;
        Ok(kind)
    }

    fn literal(&mut self, word: &[u8], kind: Kind) -> Result<Kind, Error> {
        if !self.body[self.pos..].starts_with(word) {
            return Err(self.error("a value is expected"));
        }
        self.pos += word.len();
        Ok(kind)
    }

    fn number(&mut self) -> Result<(), Error> {
        self.take(b'-');
        match self.peek() {
            Some(b'0') => self.pos += 1,
            _ => self.digits()?,
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.pos += usize::from(found);
        found
    }

    fn digits(&mut self) -> Result<(), Error> {
        let start = self.pos;
        while let Some(b'0'..=b'9') = self.peek() {
            self.pos += 1;
        }
        if self.pos == start { Err(self.error("a digit is expected")) } else { Ok(()) }
    }

    /// Passes a string from its opening quote.
    #[inline]
    fn string(&mut self) -> Result<(), Error> {
        let from = if self.known.is_empty() { self.pos + 1 } else { self.known_text() };
        match pass(self.body, from) {
            Passed::Whole(end) => {
                self.pos = end + 1;
                Ok(())
            }
            Passed::Wrong(at) | Passed::Short(at) => {
                self.pos = at;
                Err(self.broken_string())
            }
        }
    }

    /// Up to where the text of the string that begins here is known.
    fn known_text(&mut self) -> usize {
        while let [(start, to), rest @ ..] = self.known {
            if *start > self.pos {
                break;
            }
            self.known = rest;
            if *start == self.pos {
                return *to;
            }
        }
        self.pos + 1
    }

    /// What is wrong with a string at the byte where it went wrong.
    #[cold]
    fn broken_string(&mut self) -> Error {
        match (self.peek(), self.body.get(self.pos + 1)) {
            (None, _) => self.error("the string does not end"),
            (Some(b'\\'), Some(b'u')) => self.error("\\u needs four hexadecimal digits"),
            (Some(b'\\'), Some(_)) => self.error("a backslash begins no known escape"),
            (Some(b'\\'), None) => {
                self.pos += 1;
                self.error("the string does not end")
            }
            (Some(_), _) => self.error("a control character stands in a string; escape it"),
        }
    }

    fn too_deep(&self) -> Error {
        invalid(format!("The request body is nested more than {} deep at byte {}.", self.max_depth, self.pos))
    }

    #[cold]
    pub(super) fn error(&self, what: &str) -> Error {
        if self.pos >= self.body.len() {
            return invalid(format!("The request body is not valid JSON: it ends too early, at byte {}.", self.pos));
        }
        invalid(format!("The request body is not valid JSON at byte {}: {what}.", self.pos))
    }
}
