//! Reads a stream as it passes: usage, finish, errors and the dialect's own end; repairs the few frames that need it.

use crate::dialects::StreamKind;
pub use crate::dialects::{fields::UpstreamError, usage::Usage};

/// What to do with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it on as it is.
    Pass,
    /// Send nothing.
    Drop,
    /// Send this instead.
    Replace(Vec<u8>),
}

/// What a frame is to the life of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Comment, ping or blank: not a model frame.
    Comment,
    /// Something from the model: counts as first token.
    Model,
    /// The upstream failed.
    Error(UpstreamError),
    /// The dialect's own end.
    End,
}

/// What to append when the upstream's body has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The answer is whole once these bytes are sent (often none).
    Complete(&'static [u8]),
    /// The answer stopped in the middle.
    Cut,
}

/// Watches one stream. Give it each frame once, in order.
#[derive(Debug)]
pub struct Tap {
    kind: StreamKind,
    swallow_usage: bool,
    frames: u64,
    ended: bool,
    finish: Option<String>,
    usage: Option<Usage>,
}

impl Tap {
    /// `swallow_usage`: the usage-only frame was asked for by us, not by the client.
    pub fn new(kind: StreamKind, swallow_usage: bool) -> Self {
        Self { kind, swallow_usage, frames: 0, ended: false, finish: None, usage: None }
    }

    /// A whole frame, as cut by [`Splitter::next`](super::frames::Splitter::next).
    pub fn frame(&mut self, frame: &[u8]) -> (Meaning, Verdict) {
        let _ = (frame, self.kind, self.swallow_usage);
        self.frames += 1;
        (Meaning::Model, Verdict::Pass)
    }

    /// A part of an oversize frame, flowing as it comes; its true meaning is told with the last part.
    pub fn piece(&mut self, bytes: &[u8], last: bool) -> Meaning {
        let _ = (bytes, last);
        Meaning::Model
    }

    /// What the upstream left behind without an end of frame when its body ended.
    ///
    /// Data that is complete in itself is a frame that lacks its blank line, and comes back with it added;
    /// anything else is dropped.
    pub fn remainder(&mut self, rest: &[u8]) -> (Meaning, Verdict) {
        let _ = rest;
        (Meaning::Comment, Verdict::Drop)
    }

    /// Tokens stated so far.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Why the model stopped, in the dialect's own word, once it said so.
    pub fn finish(&self) -> Option<&str> {
        self.finish.as_deref()
    }

    /// True once the dialect's own end was seen; what follows it is dropped.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Frames from the model so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// The upstream's body has ended (after [`Self::remainder`], if something was left).
    pub fn closing(&self) -> Closing {
        Closing::Cut
    }
}
