//! The names of the outer object, compared as they decode, so that none stands there twice.

use std::{borrow::Cow, collections::HashSet};

use super::Span;
use crate::{
    error::{Code, Error},
    json::unescape,
};

/// Up to this many names are compared one by one.
const FEW: usize = 24;

/// More names in the outer object than any API has are refused: each is remembered.
const MOST: usize = 4096;

/// A name as it decodes; a lone surrogate makes it no UTF-8.
pub(super) type Name<'a> = Cow<'a, [u8]>;

/// Names seen so far.
#[derive(Default)]
pub(super) struct Names<'a> {
    /// As they stand in the body.
    few: [&'a [u8]; FEW],
    /// One of the few has an escape.
    escaped: bool,
    count: usize,
    many: HashSet<Name<'a>>,
}

impl<'a> Names<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes a name with its quotes; refuses it if it was there before.
    pub(super) fn add(&mut self, body: &'a [u8], span: Span) -> Result<Name<'a>, Error> {
        let raw = &body[span.start + 1..span.end - 1];
        let name = decoded(raw);
        self.escaped |= matches!(name, Cow::Owned(_));
        let known = if let Some(slot) = self.few.get_mut(self.count) {
            *slot = raw;
            self.few[..self.count].iter().any(|few| *few == raw || (self.escaped && decoded(few) == name))
        } else {
            if self.many.is_empty() {
                self.many.extend(self.few.iter().map(|few| decoded(few)));
            }
            !self.many.insert(name.clone())
        };
        self.count += 1;
        if self.count > MOST {
            let message = format!("The request body has more than {MOST} top-level fields.");
            return Err(Error::new(Code::InvalidRequest, message));
        }
        if !known {
            return Ok(name);
        }
        let shown: String = String::from_utf8_lossy(&name).chars().take(64).collect();
        let message = format!("The field \"{shown}\" stands twice in the request body, again at byte {}.", span.start);
        Err(Error::new(Code::DuplicateField, message).at(shown))
    }
}

/// A name as it decodes, from what stands between its quotes.
pub(super) fn decoded(raw: &[u8]) -> Name<'_> {
    if memchr::memchr(b'\\', raw).is_some() { unescape(raw).into() } else { raw.into() }
}
