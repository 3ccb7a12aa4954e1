//! What can be known of a body while it still arrives: how far it is UTF-8, and where its long strings are text.

use crate::json::strings::{Passed, pass};

/// A shorter string is passed again: noting one takes 16 bytes, which nothing but the body's own size bounds.
const LONG_BYTES: usize = 1024;

/// The work on a body that is done before all of it is here. Whatever is wrong is left for [`super::scan`] to find.
#[derive(Debug, Default)]
pub struct Ahead {
    /// All before is UTF-8.
    pub(super) valid: usize,
    /// Long strings, in order: where the opening quote stands, and up to where the text is known to go on or to end.
    pub(super) strings: Vec<(usize, usize)>,
    at: usize,
    /// The opening quote of the string that `at` is in.
    open: Option<usize>,
    wrong: bool,
}

impl Ahead {
    /// Looks at what is new; `body` is the whole as far as it has come.
    pub fn feed(&mut self, body: &[u8]) {
        match simdutf8::compat::from_utf8(&body[self.valid..]) {
            Ok(_) => self.valid = body.len(),
            Err(e) => self.valid += e.valid_up_to(),
        }
        while !self.wrong && self.at < body.len() {
            let Some(start) = self.open else {
                match memchr::memchr(b'"', &body[self.at..]) {
                    Some(n) => {
                        self.open = Some(self.at + n);
                        self.at += n + 1;
                    }
                    None => self.at = body.len(),
                }
                continue;
            };
            let to = match pass(body, self.at) {
                Passed::Whole(end) => {
                    self.open = None;
                    self.at = end + 1;
                    end
                }
                Passed::Short(to) => {
                    self.at = to;
                    to
                }
                Passed::Wrong(_) => {
                    self.wrong = true;
                    return;
                }
            };
            self.note(start, to);
            if self.open.is_some() {
                return;
            }
        }
    }

    fn note(&mut self, start: usize, to: usize) {
        match self.strings.last_mut() {
            Some(last) if last.0 == start => last.1 = to,
            _ if to - start > LONG_BYTES => self.strings.push((start, to)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_a_small_part_of_the_body() {
        for length in [1, 300, 1_024, 1_025, 5_000] {
            let body = format!("\"{}\",", "x".repeat(length)).repeat(200);
            let mut ahead = Ahead::default();
            ahead.feed(body.as_bytes());
            let noted = size_of_val(ahead.strings.as_slice());
            assert!(noted <= body.len() / 64, "{noted} bytes for {} of strings of {length}", body.len());
        }
    }
}
