//! Counts a text that comes in pieces, and keeps little of it: what can no longer change is counted and forgotten.

use super::{CLASSES, Encoding, Merge, Pieces, count};

/// So much is gathered before any of it is counted: of an answer that is no longer, and states its tokens, nothing is.
const DUE: usize = 1536;
/// Room for what is gathered: at first, and what is kept of it.
const FIRST_ROOM: usize = 512;
const ROOM: usize = 2048;
/// How many of the last pieces may still become others, with what comes next.
const OPEN: usize = 3;
/// A text that has no end of a piece for so long is cut.
const MOST: usize = 64 * 1024;
/// Bytes of text that make a token, where there is no encoding.
const TOKEN_BYTES: u64 = 3;

/// Tokens of what was pushed.
#[derive(Clone, Debug)]
pub struct Tally {
    text: Vec<u8>,
    tokens: u64,
    is_exact: bool,
    /// How much is gathered before it is counted again: twice what could not be counted the last time.
    due: usize,
}

impl Default for Tally {
    fn default() -> Self {
        Self { text: Vec::new(), tokens: 0, is_exact: true, due: DUE }
    }
}

impl Tally {
    pub fn push(&mut self, bytes: &[u8]) {
        if self.text.capacity() == 0 {
            self.text.reserve(FIRST_ROOM.max(bytes.len()));
        }
        self.text.extend_from_slice(bytes);
    }

    /// The count is not that of one text.
    pub fn blur(&mut self) {
        self.is_exact = false;
    }

    /// Whether it is time to [count](Self::count).
    pub fn is_due(&self) -> bool {
        self.text.len() >= self.due
    }

    /// Whether it must not wait for its encoding any longer.
    pub fn is_overdue(&self) -> bool {
        self.text.len() >= MOST
    }

    /// Counts what no text that follows can change; without an encoding by its bytes.
    pub fn count(&mut self, encoding: Option<&Encoding>) {
        let Some(encoding) = encoding else { return self.guess() };
        let valid = match std::str::from_utf8(&self.text) {
            Ok(text) => text,
            // A letter that is not whole yet.
            Err(e) if e.error_len().is_none() => std::str::from_utf8(&self.text[..e.valid_up_to()]).unwrap_or(""),
            Err(_) => {
                self.blur();
                return self.close(encoding);
            }
        };
        let (words, mut merge) = (&encoding.table.view(), Merge::default());
        let (mut open, mut seen, mut used) = ([(0, 0); OPEN], 0, 0);
        for piece in Pieces::new(valid, &CLASSES, encoding.pattern) {
            let (begin, end) = std::mem::replace(&mut open[seen % OPEN], piece);
            if seen >= OPEN {
                self.tokens += merge.count(words, valid.as_bytes(), begin, end) as u64;
                used = end;
            }
            seen += 1;
        }
        self.text.drain(..used);
        if self.is_overdue() {
            self.close(encoding);
            self.is_exact = false;
        }
        self.text.shrink_to(ROOM);
        self.due = DUE.max(2 * self.text.len());
    }

    /// Counts the rest. How many tokens there were, and whether that is exact.
    pub fn end(&mut self, encoding: Option<&Encoding>) -> (u64, bool) {
        match encoding {
            Some(encoding) => self.close(encoding),
            None => self.guess(),
        }
        (self.tokens, self.is_exact)
    }

    fn close(&mut self, encoding: &Encoding) {
        self.tokens += count(encoding, &self.text);
        self.text.clear();
    }

    fn guess(&mut self) {
        self.is_exact &= self.text.is_empty();
        self.tokens += (self.text.len() as u64).div_ceil(TOKEN_BYTES);
        self.text.clear();
    }
}
