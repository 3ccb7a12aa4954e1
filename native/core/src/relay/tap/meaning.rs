//! What the fields of a frame mean in each dialect.

use super::{Meaning, Tap, Verdict, nested_frame};
use crate::dialects::{StreamKind, fields::UpstreamError};

impl Tap {
    /// The meaning of the event whose data was just skimmed; `name` is its `event:` line.
    pub(super) fn meaning(&mut self, name: Option<&[u8]>) -> (Meaning, Verdict) {
        self.served.overlay(self.fields.served);
        match self.kind {
            StreamKind::Messages => (self.messages_meaning(name), Verdict::Pass),
            StreamKind::Responses => (self.responses_meaning(name), Verdict::Pass),
            _ => self.chat_meaning(name),
        }
    }

    fn chat_meaning(&mut self, name: Option<&[u8]>) -> (Meaning, Verdict) {
        if self.fields.has_usage {
            self.take_counts();
        }
        if let Some(error) = self.fields.nested_error() {
            return (self.fail(error), Verdict::Pass);
        }
        if let Some(error) = self.flat_error(name) {
            let frame = nested_frame(&error);
            return (self.fail(error), Verdict::Replace(frame));
        }
        if name == Some(b"ping") && !self.fields.has_choices {
            return (Meaning::Comment, Verdict::Drop);
        }
        self.take_finish();
        if self.fields.has_usage && self.swallow_usage && !self.fields.has_choices {
            return (Meaning::Comment, Verdict::Drop);
        }
        self.frames += 1;
        (Meaning::Model, Verdict::Pass)
    }

    fn responses_meaning(&mut self, name: Option<&[u8]>) -> Meaning {
        let (first, kind) = (self.frames == 0, self.fields.kind);
        let event = if kind.get().is_empty() { name.unwrap_or(b"") } else { kind.get() };
        match event {
            b"response.completed" | b"response.incomplete" | b"response.failed" => {
                self.take_counts();
                if event == b"response.failed" && first {
                    let error = self.fields.response_error();
                    return self.fail(error);
                }
                self.failed |= event == b"response.failed";
                self.frames += 1;
                self.ended = true;
                self.take_finish();
                if self.finish.is_none() {
                    let word = event.strip_prefix(b"response.").unwrap_or(event);
                    self.finish = Some(String::from_utf8_lossy(word).into_owned());
                }
                Meaning::End
            }
            _ => {
                if let Some(error) = self.fields.nested_error().or_else(|| self.flat_error(name)) {
                    return self.fail(error);
                }
                self.frames += 1;
                Meaning::Model
            }
        }
    }

    fn messages_meaning(&mut self, name: Option<&[u8]>) -> Meaning {
        let kind = self.fields.kind;
        match name.unwrap_or(kind.get()) {
            b"ping" => return Meaning::Comment,
            b"error" => {
                let error = self.fields.nested_error().unwrap_or_else(|| self.fields.flat_texts());
                return self.fail(error);
            }
            b"message_stop" => {
                self.ended = true;
                return Meaning::End;
            }
            start @ (b"message_start" | b"message_delta") => {
                self.counts.overlay(&self.fields.counts);
                // What the beginning says of the answer stands for nothing yet.
                if start == b"message_delta" && !self.fields.counts.is_empty() {
                    self.note_stated();
                }
                self.take_finish();
            }
            _ => {
                if let Some(error) = self.fields.nested_error() {
                    return self.fail(error);
                }
            }
        }
        self.frames += 1;
        Meaning::Model
    }

    /// The meaning of the line of Ollama's that was just skimmed.
    pub(super) fn line_meaning(&mut self) -> Meaning {
        if self.fields.done {
            self.take_counts();
        }
        if let Some(error) = self.fields.nested_error() {
            return self.fail(error);
        }
        self.frames += 1;
        if !self.fields.done {
            return Meaning::Model;
        }
        self.take_finish();
        self.ended = true;
        Meaning::End
    }

    /// An error without nesting: the event's name or the data itself must say that it is one.
    fn flat_error(&self, name: Option<&[u8]>) -> Option<UpstreamError> {
        let named = name == Some(b"error") && !self.fields.has_choices;
        self.fields.flat_error().or_else(|| named.then(|| self.fields.flat_texts()))
    }

    /// The tokens that it states, if it does, in the place of those stated before.
    fn take_counts(&mut self) {
        if !self.fields.counts.is_empty() {
            self.counts = self.fields.counts;
            self.note_stated();
        }
    }

    fn note_stated(&mut self) {
        self.stated_at = self.text.as_ref().map(|text| text.bytes());
    }

    fn take_finish(&mut self) {
        let finish = self.fields.finish.get();
        if !finish.is_empty() {
            self.finish = Some(String::from_utf8_lossy(finish).into_owned());
            self.finished += self.fields.finishes;
        }
    }

    fn fail(&mut self, error: UpstreamError) -> Meaning {
        self.failed = true;
        Meaning::Error(error)
    }
}
