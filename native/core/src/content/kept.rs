//! One text while its request runs: the beginning of it, in memory that is accounted for.

use std::fmt;

use super::{
    BEYOND_BYTES, Policy, border,
    search::{Search, Slow, replaced},
    strings,
};

/// Memory that may be had, or not.
pub trait Room {
    /// Accounts for so many bytes in all; `false`: there is no room for them.
    fn grow_to(&mut self, bytes: usize) -> bool;
}

/// Why a text is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// It is longer than what is recorded.
    Cut,
    /// There was no room for it, or for more of it.
    NoRoom,
    /// To redact it takes too long: nothing of it is shown.
    Slow,
}

impl Note {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::NoRoom => "no_room",
            Self::Slow => "slow",
        }
    }
}

/// A text as it is recorded: redacted, and cut at a letter's border.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub text: String,
    pub note: Option<Note>,
}

impl Piece {
    /// The same in at most so many bytes.
    pub fn cut(&mut self, most: usize) {
        if self.text.len() > most {
            self.text.truncate(border(&self.text, most));
            self.note = self.note.or(Some(Note::Cut));
        }
    }
}

/// Memory is taken in steps that double, from this one on.
const FIRST_BYTES: usize = 512;

/// The beginning of a text. Only [`Kept::finish`] shows it: what is in it may be secret.
pub struct Kept {
    text: Vec<u8>,
    most: usize,
    note: Option<Note>,
    is_json: bool,
    /// Where the text stood that came last.
    place: usize,
    room: Box<dyn Room>,
}

impl Kept {
    pub fn new(policy: &Policy, room: Box<dyn Room>) -> Self {
        Self { text: Vec::new(), most: policy.window_bytes(), note: None, is_json: false, place: usize::MAX, room }
    }

    /// What comes is JSON: each string is redacted as what it says.
    pub fn set_json(&mut self) {
        self.is_json = true;
    }

    /// Whether nothing more is taken.
    pub fn is_full(&self) -> bool {
        self.note.is_some()
    }

    /// How many bytes more are taken at most.
    pub fn left(&self) -> usize {
        self.most - self.text.len()
    }

    /// The next bytes of a text that may have several parts: a line divides those of different places, and with
    /// `is_apart` those that are not one.
    pub fn push_part(&mut self, bytes: &[u8], place: usize, is_apart: bool) {
        let is_other = std::mem::replace(&mut self.place, place) != place;
        if (is_other || is_apart) && !self.text.is_empty() {
            self.push(b"\n");
        }
        self.push(bytes);
    }

    /// The next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.is_full() {
            return;
        }
        let fits = bytes.len().min(self.left());
        if !self.reserve(self.text.len() + fits) {
            self.note = Some(Note::NoRoom);
            return;
        }
        self.text.extend_from_slice(&bytes[..fits]);
        if fits < bytes.len() {
            self.note = Some(Note::Cut);
        }
    }

    fn reserve(&mut self, bytes: usize) -> bool {
        let has = self.text.capacity();
        if bytes <= has {
            return true;
        }
        let wanted = bytes.max(2 * has).max(FIRST_BYTES).min(self.most.max(bytes));
        if !self.room.grow_to(wanted) {
            return false;
        }
        self.text.reserve_exact(wanted - self.text.len());
        true
    }

    /// What may be recorded. `keys`: the credentials of the request. `None`: there was no text.
    pub fn finish(self, policy: &Policy, keys: &[Box<[u8]>]) -> Option<Piece> {
        if self.text.is_empty() && self.note.is_none() {
            return None;
        }
        let text = String::from_utf8_lossy(&self.text);
        // What begins in the last bytes and ends behind them is not found.
        let most =
            if self.note.is_some() { border(&text, text.len().saturating_sub(BEYOND_BYTES)) } else { text.len() };
        let mut piece = match self.redacted(&text, most, &policy.redaction.search(keys)) {
            Ok(text) => Piece { text, note: self.note },
            Err(Slow) => Piece { text: String::new(), note: Some(Note::Slow) },
        };
        piece.cut(policy.max_bytes);
        Some(piece)
    }

    fn redacted(&self, text: &str, most: usize, search: &Search<'_>) -> Result<String, Slow> {
        if self.is_json {
            return strings::redacted(text, most, search);
        }
        Ok(replaced(text, &search.ranges(text, true)?, most))
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("bytes", &self.text.len()).field("note", &self.note).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Redaction;

    /// So many bytes.
    struct Bytes(usize);

    impl Room for Bytes {
        fn grow_to(&mut self, bytes: usize) -> bool {
            bytes <= self.0
        }
    }

    fn policy(max_bytes: usize) -> Policy {
        Policy { prompts: true, answers: true, max_bytes, redaction: Redaction::new(&[], Vec::new()).unwrap() }
    }

    fn kept(policy: &Policy, room: usize, pieces: &[&str]) -> Option<Piece> {
        let mut kept = Kept::new(policy, Box::new(Bytes(room)));
        pieces.iter().for_each(|piece| kept.push(piece.as_bytes()));
        kept.finish(policy, &[])
    }

    #[test]
    fn a_text_is_cut_at_a_letters_border_and_says_so() {
        let policy = policy(64);
        assert_eq!(kept(&policy, usize::MAX, &[]), None);
        let exact = "x".repeat(64);
        assert_eq!(kept(&policy, usize::MAX, &[&exact]), Some(Piece { text: exact, note: None }));
        for length in [65, 5_000] {
            let piece = kept(&policy, usize::MAX, &["x", &"é".repeat(length)]).unwrap();
            assert_eq!((piece.text.len(), piece.note), (63, Some(Note::Cut)));
        }
    }

    #[test]
    fn a_text_for_which_there_is_no_room_ends_and_says_so() {
        let policy = policy(16 * 1024);
        let nothing = Piece { text: String::new(), note: Some(Note::NoRoom) };
        assert_eq!(kept(&policy, 0, &["a"]), Some(nothing));
        let some = kept(&policy, 5_000, &["x".repeat(4_000).as_str(), "y".repeat(4_000).as_str()]).unwrap();
        assert_eq!(some.note, Some(Note::NoRoom));
        assert_eq!(some.text, "x".repeat(4_000 - BEYOND_BYTES), "what may be the beginning of a secret is not shown");
    }

    #[test]
    fn a_line_divides_parts_and_letters_may_come_in_pieces() {
        let policy = policy(1_000);
        let mut kept = Kept::new(&policy, Box::new(Bytes(usize::MAX)));
        for (bytes, place, is_apart) in
            [("th", 1, true), ("ought", 1, false), ("said", 0, false), (" more", 0, false), ("again", 0, true)]
        {
            kept.push_part(bytes.as_bytes(), place, is_apart);
        }
        "é".bytes().for_each(|byte| kept.push_part(&[byte], 0, false));
        assert_eq!(kept.finish(&policy, &[]).unwrap().text, "thought\nsaid more\nagainé");
    }
}
