//! Texts of prompts and answers on their way into records: none unless configured; bounded, and redacted before they are
//! kept anywhere.

mod kept;
mod prompt;
mod redact;
mod search;
mod strings;

pub use kept::{Kept, Note, Piece, Room};
pub use prompt::write_prompt;
pub use redact::{Redaction, check_pattern};
pub use search::{Search, Slow};

/// So much more is kept of a text than is recorded: what ends behind its cut is still found, and redacted.
const BEYOND_BYTES: usize = 2 * 1024;

/// Which texts are recorded.
#[derive(Debug)]
pub struct Policy {
    pub prompts: bool,
    pub answers: bool,
    /// Of each text.
    pub max_bytes: usize,
    pub redaction: Redaction,
}

impl Policy {
    /// What is kept of a text while its request runs.
    pub const fn window_bytes(&self) -> usize {
        self.max_bytes + BEYOND_BYTES
    }
}

/// The texts of one request as they are recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    pub prompt: Option<Piece>,
    pub answer: Option<Piece>,
}

impl Content {
    pub fn is_empty(&self) -> bool {
        self.prompt.is_none() && self.answer.is_none()
    }

    pub fn text_bytes(&self) -> usize {
        [&self.prompt, &self.answer].into_iter().flatten().map(|piece| piece.text.len()).sum()
    }

    /// The same in at most so many bytes: each text has half of them, and what the other leaves.
    #[must_use]
    pub fn cut(&self, most: usize) -> Self {
        let mut cut = self.clone();
        let length = |piece: &Option<Piece>| piece.as_ref().map_or(0, |piece| piece.text.len());
        let (prompt, answer) = (length(&cut.prompt), length(&cut.answer));
        for (piece, other) in [(&mut cut.prompt, answer), (&mut cut.answer, prompt)] {
            if let Some(piece) = piece {
                piece.cut(most.saturating_sub(other).max(most / 2));
            }
        }
        cut
    }

    /// What is recorded where there is no room for texts: that there were some.
    #[must_use]
    pub fn left_out(&self) -> Self {
        let left =
            |piece: &Option<Piece>| piece.is_some().then(|| Piece { text: String::new(), note: Some(Note::NoRoom) });
        Self { prompt: left(&self.prompt), answer: left(&self.answer) }
    }
}

/// The last border between letters up to a place.
fn border(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(prompt: usize, answer: usize) -> Content {
        let piece = |length: usize| (length > 0).then(|| Piece { text: "é".repeat(length / 2), note: None });
        Content { prompt: piece(prompt), answer: piece(answer) }
    }

    #[test]
    fn two_texts_that_do_not_fit_share_the_room() {
        for ((prompt, answer), most, kept) in [
            ((100, 100), 200, (100, 100)),
            ((100, 100), 100, (50, 50)),
            ((100, 20), 100, (80, 20)),
            ((20, 100), 100, (20, 80)),
            ((100, 0), 100, (100, 0)),
            ((100, 0), 51, (50, 0)),
            ((100, 100), 0, (0, 0)),
        ] {
            let cut = content(prompt, answer).cut(most);
            let length = |piece: &Option<Piece>| piece.as_ref().map_or(0, |piece| piece.text.len());
            assert_eq!((length(&cut.prompt), length(&cut.answer)), kept);
            let note = |piece: &Option<Piece>| piece.as_ref().and_then(|piece| piece.note);
            assert_eq!(note(&cut.prompt), (kept.0 < prompt).then_some(Note::Cut));
            assert_eq!(note(&cut.answer), (kept.1 < answer).then_some(Note::Cut));
        }
    }

    #[test]
    fn what_is_left_out_is_told() {
        let left = content(10, 0).left_out();
        assert_eq!(left.prompt, Some(Piece { text: String::new(), note: Some(Note::NoRoom) }));
        assert_eq!((&left.answer, left.text_bytes()), (&None, 0));
        assert!(Content::default().left_out().is_empty() && !content(10, 0).is_empty());
    }
}
