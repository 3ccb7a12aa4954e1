//! Reads a stream as it passes: usage, finish, errors and the dialect's own end; repairs the few frames that need it.

use super::{alike::Alike, flow::Flow, sse, text::Text};
pub use crate::dialects::{fields::UpstreamError, usage::Usage};
use crate::{
    dialects::{
        Dialect, StreamKind,
        counts::Counts,
        fields::{Fields, Place, Shape},
        openai,
        usage::{Served, Tier},
    },
    json::{BOM, Skimmer},
};

mod meaning;
mod quick;

use quick::Quick;

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
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug)]
pub struct Tap {
    kind: StreamKind,
    swallow_usage: bool,
    /// The first bytes of the stream were seen: a byte order mark can come no more.
    started: bool,
    ended: bool,
    /// `[DONE]` was seen.
    done_seen: bool,
    /// An error was seen; it ends the answer.
    failed: bool,
    frames: u64,
    finish: Option<String>,
    /// How many choices are wanted, and how many have finished.
    choices: u64,
    finished: u64,
    counts: Counts,
    /// How much text there was when tokens were stated last.
    stated_at: Option<u64>,
    served: Served,
    fields: Fields,
    skimmer: Skimmer<Place>,
    quick: Quick,
    alike: Alike,
    /// An oversize frame is on its way.
    flow: Option<Box<Flow>>,
    /// Counts what the model wrote, where that matters.
    text: Option<Box<Text>>,
}

impl Tap {
    /// `swallow_usage`: the usage-only frame was asked for by us, not by the client.
    pub fn new(kind: StreamKind, swallow_usage: bool) -> Self {
        Self {
            kind,
            swallow_usage: swallow_usage && matches!(kind, StreamKind::Chat | StreamKind::Completions),
            started: false,
            ended: false,
            done_seen: false,
            failed: false,
            frames: 0,
            finish: None,
            choices: 1,
            finished: 0,
            counts: Counts::default(),
            stated_at: None,
            served: Served::default(),
            fields: Fields::new(Shape::from(kind)),
            skimmer: Skimmer::new(Place::Body),
            quick: Quick::new(kind),
            alike: Alike::default(),
            flow: None,
            text: None,
        }
    }

    /// The answer is whole only once so many choices have finished; it is one where nothing else is said.
    pub fn want_choices(&mut self, choices: u64) {
        self.choices = choices;
    }

    /// Has the text in the frames counted from now on.
    pub fn count_text(&mut self) {
        self.text = Some(Box::new(Text::of_stream(self.kind)));
    }

    /// The text so far, if it is counted.
    pub fn text(&mut self) -> Option<&mut Text> {
        self.text.as_deref_mut()
    }

    /// A whole frame, as cut by [`Splitter::next`](super::frames::Splitter::next).
    pub fn frame(&mut self, frame: &[u8]) -> (Meaning, Verdict) {
        if !self.started {
            self.started = true;
            if let Some(rest) = frame.strip_prefix(BOM) {
                let (meaning, verdict) = self.frame(rest);
                let verdict = if verdict == Verdict::Pass { Verdict::Replace(rest.to_vec()) } else { verdict };
                return (meaning, verdict);
            }
        }
        if let Some(text) = &mut self.text {
            text.frame(frame);
        }
        if self.kind.is_lines() {
            return self.line(frame);
        }
        match sse::single_data_line(frame) {
            Some(data) if !data.is_empty() => self.single(data, frame),
            None if !self.ended && quick::is_delta(self.kind, frame) => {
                self.alike.learn(self.kind, frame);
                self.frames += 1;
                (Meaning::Model, Verdict::Pass)
            }
            _ => self.event(frame),
        }
    }

    /// How long the first frame of `payload` is, if it is like one before it but for its text: then it is taken, as
    /// [`Meaning::Model`], to be passed on. No part of it may have been shown to [`Self::piece`].
    pub fn alike(&mut self, payload: &[u8]) -> Option<usize> {
        if self.ended || self.flow.is_some() {
            return None;
        }
        let found = self.alike.find(payload)?;
        self.frames += 1;
        if let Some(text) = &mut self.text {
            text.string(&payload[found.text], found.is_plain, found.place);
        }
        Some(found.length)
    }

    /// A part of an oversize frame, flowing as it comes; its true meaning is told with the last part.
    ///
    /// Such a frame cannot be repaired. The caller drops it if [`Self::ended`] was true before its first part.
    pub fn piece(&mut self, bytes: &[u8], last: bool) -> Meaning {
        let first = !std::mem::replace(&mut self.started, true);
        let bytes = if first { bytes.strip_prefix(BOM).unwrap_or(bytes) } else { bytes };
        let mut flow = self.flow.take().unwrap_or_else(|| {
            self.restart();
            if let Some(text) = &mut self.text {
                text.begin_parts();
            }
            Box::default()
        });
        if let Some(text) = &mut self.text {
            text.part(bytes);
        }
        if self.kind.is_lines() {
            flow.has_data |= !bytes.trim_ascii().is_empty();
            self.skimmer.feed(bytes, &mut self.fields);
        } else {
            flow.feed(bytes, |data| self.skimmer.feed(data, &mut self.fields));
        }
        if !last {
            let meaning = if flow.has_data && !self.ended { Meaning::Model } else { Meaning::Comment };
            self.flow = Some(flow);
            return meaning;
        }
        if self.ended || !flow.has_data {
            return Meaning::Comment;
        }
        if self.kind.is_lines() { self.line_meaning() } else { self.meaning(flow.event()).0 }
    }

    /// What the upstream left behind without an end of frame when its body ended.
    ///
    /// Data that is complete in itself is a frame that only lacks its blank line, and comes back with it added;
    /// anything else is dropped.
    pub fn remainder(&mut self, rest: &[u8]) -> (Meaning, Verdict) {
        let end = if self.kind.is_lines() { b"\n" } else { sse::missing_end(rest) };
        let mut whole = Vec::with_capacity(rest.len() + end.len());
        whole.extend_from_slice(rest);
        whole.extend_from_slice(end);
        if self.flow.is_some() {
            if !rest.is_empty() {
                self.piece(rest, false);
            }
            if !self.skimmer.is_done() {
                return (Meaning::Comment, Verdict::Drop);
            }
            return (self.piece(end, true), Verdict::Replace(whole));
        }
        if !self.is_whole(rest) {
            return (Meaning::Comment, Verdict::Drop);
        }
        let (meaning, verdict) = self.frame(&whole);
        (meaning, if verdict == Verdict::Pass { Verdict::Replace(whole) } else { verdict })
    }

    /// Tokens stated so far.
    pub fn usage(&self) -> Option<Usage> {
        let finish = self.finish().map_or(&b""[..], str::as_bytes);
        let usage = self.counts.usage(self.kind.dialect(), self.kind != StreamKind::OtherSse, finish)?;
        Some(Usage { tier: self.tier(), ..usage })
    }

    /// Whether the model has written nothing since it stated them.
    pub fn is_current(&self) -> bool {
        self.stated_at.is_some() && self.stated_at == self.text.as_ref().map(|text| text.bytes())
    }

    /// Whether an error ended it.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// What it was served as, where it said so yet.
    pub fn tier(&self) -> Option<Tier> {
        self.served.tier()
    }

    /// Why the model stopped, in the dialect's own word, once it said so.
    pub fn finish(&self) -> Option<&str> {
        self.finish.as_deref()
    }

    /// True once the dialect's own end was seen; what follows it is dropped.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// True while the client has only part of an oversize frame: nothing else may be sent before its end.
    pub fn is_mid_frame(&self) -> bool {
        self.flow.is_some()
    }

    /// Frames from the model so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// The upstream's body has ended (after [`Self::remainder`], if something was left).
    ///
    /// After an error frame nothing is missing: the error was the end. `broke_off`: the body has not ended by itself, which
    /// is all the end that other streams have.
    pub fn closing(&self, broke_off: bool) -> Closing {
        if self.ended || self.failed || self.kind == StreamKind::OtherSse && !broke_off {
            return Closing::Complete(b"");
        }
        match (self.finish(), self.kind.end_mark()) {
            (Some(_), mark) if !mark.is_empty() && self.finished >= self.choices => Closing::Complete(mark),
            _ => Closing::Cut,
        }
    }

    fn restart(&mut self) {
        self.skimmer.restart();
        self.fields.restart();
    }

    /// The usual event: one line of data, no name.
    fn single(&mut self, data: &[u8], frame: &[u8]) -> (Meaning, Verdict) {
        if data.first() == Some(&b'{') && !self.ended {
            if self.quick.is_plain_chunk(data) {
                if self.alike.learn(self.kind, frame) {
                    self.skim(data);
                    self.served.overlay(self.fields.served);
                }
                self.frames += 1;
                return (Meaning::Model, Verdict::Pass);
            }
            self.skim(data);
            let (meaning, verdict) = self.meaning(None);
            return (meaning, self.named(verdict, frame));
        }
        self.event(frame)
    }

    /// Reads the fields of a document.
    fn skim(&mut self, json: &[u8]) {
        self.restart();
        self.skimmer.feed(json, &mut self.fields);
    }

    /// Any event.
    fn event(&mut self, frame: &[u8]) -> (Meaning, Verdict) {
        let event = sse::Event::of(frame);
        let to_openai = self.kind.dialect() == Dialect::OpenAi;
        if !event.has_data {
            // To OpenAI's SDK an event without data is fatal; comments and blank lines are not.
            let drop = self.ended || (event.has_fields && to_openai);
            return (Meaning::Comment, if drop { Verdict::Drop } else { Verdict::Pass });
        }
        if is_done(event.data) && event.data_lines == 1 {
            return self.done_mark(event.data.starts_with(b"[DONE]") && !event.has_state);
        }
        if self.ended {
            return (Meaning::Comment, Verdict::Drop);
        }
        self.restart();
        for line in sse::data_lines(frame) {
            self.skimmer.feed(line, &mut self.fields);
            self.skimmer.feed(b"\n", &mut self.fields);
        }
        let (meaning, verdict) = self.meaning(event.name);
        if verdict == Verdict::Pass && to_openai && event.has_state {
            let cleaned = sse::without_state(frame);
            let verdict = if event.name.is_none() { self.named(Verdict::Pass, &cleaned) } else { Verdict::Pass };
            return (meaning, if verdict == Verdict::Pass { Verdict::Replace(cleaned) } else { verdict });
        }
        let verdict = if event.name.is_none() { self.named(verdict, frame) } else { verdict };
        (meaning, verdict)
    }

    /// Gives a frame its `event:` line where clients need one and the data says which.
    fn named(&self, verdict: Verdict, frame: &[u8]) -> Verdict {
        let name = self.fields.kind.get();
        let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let needs = matches!(self.kind, StreamKind::Messages | StreamKind::Responses);
        if verdict != Verdict::Pass || !needs || name.is_empty() || !name.iter().all(plain) {
            return verdict;
        }
        Verdict::Replace([b"event: ", name, b"\n", frame].concat())
    }

    /// `plain`: every SDK knows it for what it is.
    fn done_mark(&mut self, plain: bool) -> (Meaning, Verdict) {
        let doubled = std::mem::replace(&mut self.done_seen, true);
        match self.kind {
            StreamKind::Chat | StreamKind::Completions | StreamKind::OtherSse if !self.ended => {
                self.ended = true;
                let verdict = if plain { Verdict::Pass } else { Verdict::Replace(b"data: [DONE]\n\n".to_vec()) };
                (Meaning::End, verdict)
            }
            // Needless after the last response event, but harmless; before it, it would hide a cut.
            StreamKind::Responses if (self.ended || self.failed) && !doubled => (Meaning::Comment, Verdict::Pass),
            _ => (Meaning::Comment, Verdict::Drop),
        }
    }

    /// A line of Ollama's.
    fn line(&mut self, line: &[u8]) -> (Meaning, Verdict) {
        // Its SDK parses every line, blank ones too.
        if self.ended || line.trim_ascii().is_empty() {
            return (Meaning::Comment, Verdict::Drop);
        }
        self.skim(line);
        let meaning = self.line_meaning();
        if meaning == Meaning::Model {
            self.alike.learn(self.kind, line);
        }
        (meaning, Verdict::Pass)
    }

    /// Whether what is left at the end of a body is data complete in itself.
    fn is_whole(&self, rest: &[u8]) -> bool {
        let rest = if self.started { rest } else { rest.strip_prefix(BOM).unwrap_or(rest) };
        let is_json = |data: &[u8]| {
            data.trim_ascii_start().starts_with(b"{") && serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok()
        };
        if self.kind.is_lines() {
            return is_json(rest);
        }
        let mut data = Vec::new();
        for line in sse::data_lines(rest) {
            data.extend_from_slice(line);
            data.push(b'\n');
        }
        is_done(data.trim_ascii()) || is_json(&data)
    }
}

/// Data that is an end mark: blanks around it and misplaced quotes are forgiven.
fn is_done(data: &[u8]) -> bool {
    let data = data.trim_ascii();
    data.starts_with(b"[DONE]") || data == b"\"[DONE]\""
}

/// A flat error as the nested one that the SDK raises on.
fn nested_frame(error: &UpstreamError) -> Vec<u8> {
    let mut out = b"data: ".to_vec();
    openai::write_upstream_error(error, &mut out);
    out.extend_from_slice(b"\n\n");
    out
}
