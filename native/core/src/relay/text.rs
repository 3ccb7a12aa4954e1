//! Gathers the text in an answer as its bytes pass, without reading its JSON: the strings behind the names that hold what
//! a model wrote.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::choices;
use crate::{
    content::Kept,
    dialects::{Dialect, StreamKind},
    tokens::Tally,
};

/// The longest name of interest, and one byte more to tell a longer one.
const NAME_BYTES: usize = 20;

pub(super) type Names = &'static [&'static [u8]];

/// A text to look for. It is large, and prepared once.
pub(super) type Mark = LazyLock<Finder<'static>>;

/// In the type of an event whose `delta` is plain text.
static PLAIN: [Mark; 2] = [Mark::new(|| Finder::new("output_text.delta")), Mark::new(|| Finder::new("refusal.delta"))];
static DELTA: Mark = Mark::new(|| Finder::new("\"delta\""));
static TEXT: Mark = Mark::new(|| Finder::new("\"text\""));
static MESSAGE: Mark = Mark::new(|| Finder::new("\"message\""));
static RESPONSE: Mark = Mark::new(|| Finder::new("\"response\""));

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Outside strings; behind which name and its colon, if any.
    Between(Behind),
    /// In a string that may be a name.
    Name,
    /// Behind that string, before what tells whether it is a name.
    Named,
    /// In a string that is counted.
    Text,
    /// Behind a backslash of such a string, or of a name.
    Escape { counted: bool },
    /// In the digits of `\u`: how many are to come, and what they say so far.
    Hex { left: u8, value: u16 },
    /// In an object or a list that is counted as it stands, or not at all.
    Raw { depth: u32, is_string: bool, is_escaped: bool, counted: bool },
}

/// What a name says of the value behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    Nothing,
    /// It is text.
    Ours,
    /// It says again what stands elsewhere.
    Again,
}

/// Counts bytes of text, cut anywhere.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug)]
pub struct Text {
    names: Names,
    /// What stands before all text of a frame.
    before: &'static Mark,
    state: State,
    name: [u8; NAME_BYTES],
    length: usize,
    bytes: u64,
    /// The first half of a letter in UTF-16; 0: none waits.
    half: u16,
    /// Under which name of the two for it thoughts came in this document.
    thought: Option<usize>,
    /// Of a frame that comes in parts: the end of what came, while what stands before all text is looked for.
    sought: Option<Vec<u8>>,
    /// Its type alone tells what the text of a frame is.
    has_types: bool,
    /// Where the text stands, of `names`, and where the text before it did.
    at: usize,
    last: Option<usize>,
    tally: Tally,
    /// Its tokens are known already.
    is_told: bool,
    /// A string begins, and nothing of it was written yet.
    begins: bool,
    /// Each string is a text of its own.
    is_apart: bool,
    /// The text itself, where it is recorded: of several alternatives of a stream the first.
    kept: Option<Box<Kept>>,
    /// What is read is another alternative.
    is_other: bool,
    /// There are others.
    has_others: bool,
    /// There may be: an `index` of other streams is about something else.
    has_choices: bool,
}

impl Text {
    /// Of the frames of a stream.
    pub fn of_stream(kind: StreamKind) -> Self {
        let (before, names) = places(kind);
        let has_types = kind == StreamKind::Responses;
        Self { has_choices: has_choices(kind), has_types, ..Self::of(before, names) }
    }

    /// Of a whole body.
    pub fn of_body(dialect: Dialect) -> Self {
        let names: Names = match dialect {
            Dialect::OpenAi => BODY,
            Dialect::Anthropic => &[b"text", b"thinking", b"input"],
            Dialect::Ollama => OLLAMA,
        };
        Self { is_apart: true, ..Self::of(&DELTA, names) }
    }

    fn of(before: &'static Mark, names: Names) -> Self {
        Self {
            names,
            before,
            state: State::Between(Behind::Nothing),
            thought: None,
            sought: None,
            has_types: false,
            name: [0; NAME_BYTES],
            length: 0,
            bytes: 0,
            half: 0,
            at: 0,
            last: None,
            tally: Tally::default(),
            is_told: false,
            begins: false,
            is_apart: false,
            kept: None,
            is_other: false,
            has_others: false,
            has_choices: false,
        }
    }

    /// Has the text from now on kept, if there is a place for it.
    pub fn keep(&mut self, kept: Option<Box<Kept>>) {
        self.kept = kept;
    }

    /// What was kept.
    pub fn take_kept(&mut self) -> Option<Box<Kept>> {
        self.kept.take()
    }

    pub fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// How many tokens there are is known: what is kept need not be counted any more.
    pub fn set_told(&mut self) {
        self.is_told = true;
    }

    /// Bytes of text so far, as UTF-8 has them.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The text, for whoever counts its tokens.
    pub fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// Whether so much has come that it is time to count it.
    pub fn is_due(&self) -> bool {
        self.tally.is_due()
    }

    /// A new document: what was open before is not. Of whose text its parts will be is not known once there are others.
    pub fn restart(&mut self) {
        self.state = State::Between(Behind::Nothing);
        self.thought = None;
        self.sought = None;
        self.is_other = self.has_others;
    }

    /// A frame that comes in parts.
    pub fn begin_parts(&mut self) {
        self.restart();
        self.sought = Some(Vec::new());
        if self.has_types {
            self.tally.blur();
        }
    }

    /// The next of them.
    pub fn part(&mut self, bytes: &[u8]) {
        let Some(mut seam) = self.sought.take() else { return self.feed(bytes) };
        let most = self.before.needle().len() - 1;
        let (first, last) = (bytes.len().min(most), bytes.len().saturating_sub(most));
        seam.extend_from_slice(&bytes[..first]);
        if let Some(at) = self.before.find(&seam) {
            self.feed(&seam[at..]);
            self.feed(&bytes[first..]);
        } else if let Some(at) = self.before.find(bytes) {
            self.feed(&bytes[at..]);
        } else {
            seam.extend_from_slice(&bytes[last.max(first)..]);
            seam.drain(..seam.len().saturating_sub(most));
            self.sought = Some(seam);
        }
    }

    /// A whole frame.
    pub fn frame(&mut self, frame: &[u8]) {
        let asks = self.has_choices && self.kept.is_some();
        if !asks || !choices::each(frame, |is_first, choice| self.choice(is_first, choice)) {
            self.choice(true, frame);
        }
    }

    /// The one string that is text of a frame of one alternative: behind its opening quote and with its closing one, under
    /// this one of the names. `is_plain`: it has no escape.
    pub(super) fn string(&mut self, string: &[u8], is_plain: bool, place: usize) {
        self.is_other = false;
        self.thought = None;
        self.at = place;
        self.begin(true);
        match string.split_last() {
            Some((_, plain)) if is_plain => {
                self.take(plain);
                self.state = State::Between(Behind::Nothing);
            }
            _ => self.feed(string),
        }
    }

    fn choice(&mut self, is_first: bool, json: &[u8]) {
        self.has_others |= !is_first;
        if let Some(at) = self.before.find(json) {
            self.restart();
            self.is_other = !is_first;
            if self.has_types && PLAIN.iter().all(|plain| plain.find(json).is_none()) {
                self.tally.blur();
            }
            self.feed(&json[at..]);
        }
    }

    /// The next bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while let Some(&byte) = bytes.first() {
            let mut used = 1;
            match self.state {
                State::Between(behind) => match byte {
                    b'"' => self.begin(behind == Behind::Ours),
                    b' ' | b'\t' | b'\r' | b'\n' => {}
                    b'{' | b'[' if self.is_raw(behind) => {
                        let counted = behind == Behind::Ours;
                        self.state = State::Raw { depth: 0, is_string: false, is_escaped: false, counted };
                        self.begins = true;
                        used = 0;
                    }
                    _ => {
                        self.state = State::Between(Behind::Nothing);
                        used = memchr::memchr(b'"', bytes).unwrap_or(bytes.len());
                    }
                },
                State::Named => match byte {
                    b':' => self.state = State::Between(self.behind()),
                    b' ' | b'\t' | b'\r' | b'\n' => {}
                    b'"' => self.begin(false),
                    _ => self.state = State::Between(Behind::Nothing),
                },
                State::Raw { .. } => used = self.raw(bytes),
                State::Name | State::Text => used = self.run(bytes),
                State::Escape { counted: false } => self.state = State::Name,
                State::Escape { counted: true } if byte == b'u' => self.state = State::Hex { left: 4, value: 0 },
                State::Escape { counted: true } => {
                    self.take(&[unescaped(byte)]);
                    self.state = State::Text;
                }
                State::Hex { left, value } => {
                    let digit = char::from(byte).to_digit(16).unwrap_or(0) as u16;
                    self.state = State::Hex { left: left - 1, value: value << 4 | digit };
                    if left == 1 {
                        if !self.is_said() {
                            self.bytes += utf8_bytes(value << 4 | digit);
                            self.write_unit(value << 4 | digit);
                        }
                        self.state = State::Text;
                    }
                }
            }
            bytes = &bytes[used..];
        }
    }

    /// A string begins.
    fn begin(&mut self, counted: bool) {
        self.length = 0;
        self.begins = true;
        self.state = if counted { State::Text } else { State::Name };
    }

    /// What is here of a string up to its end or an escape; says how many bytes that took.
    fn run(&mut self, bytes: &[u8]) -> usize {
        let counted = self.state == State::Text;
        let at = memchr::memchr2(b'"', b'\\', bytes);
        let plain = &bytes[..at.unwrap_or(bytes.len())];
        if counted {
            self.take(plain);
        } else {
            let room = &mut self.name[self.length.min(NAME_BYTES)..];
            let fits = plain.len().min(room.len());
            room[..fits].copy_from_slice(&plain[..fits]);
            self.length += plain.len();
        }
        let Some(at) = at else { return bytes.len() };
        self.state = match (bytes[at], counted) {
            (b'\\', counted) => {
                // A name with an escape is none of ours.
                self.length += if counted { 0 } else { NAME_BYTES };
                State::Escape { counted }
            }
            (_, true) => State::Between(Behind::Nothing),
            (_, false) => State::Named,
        };
        at + 1
    }

    /// What stands behind the name that was read.
    fn behind(&mut self) -> Behind {
        let Some(name) = self.name.get(..self.length) else { return Behind::Nothing };
        let is_again = match name {
            b"reasoning_details" => self.thought.is_some(),
            _ => AGAIN.contains(&name) || self.is_apart && ECHOED.contains(&name),
        };
        if is_again {
            return Behind::Again;
        }
        let Some(place) = self.names.iter().position(|known| *known == name) else { return Behind::Nothing };
        if CALLS.contains(&name) {
            self.tally.blur();
        }
        self.at = place;
        Behind::Ours
    }

    /// Whether an object or a list that begins now is taken as it stands, or passed over.
    fn is_raw(&self, behind: Behind) -> bool {
        behind == Behind::Again || behind == Behind::Ours && CALLS.contains(&self.names[self.at])
    }

    /// What is here of it; says how many bytes that took.
    fn raw(&mut self, bytes: &[u8]) -> usize {
        let State::Raw { mut depth, mut is_string, mut is_escaped, counted } = self.state else { return 0 };
        let end = bytes.iter().position(|byte| {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = is_string,
                b'"' => is_string = !is_string,
                b'{' | b'[' if !is_string => depth = depth.saturating_add(1),
                b'}' | b']' if !is_string => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0
        });
        self.state = match end {
            Some(_) => State::Between(Behind::Nothing),
            None => State::Raw { depth, is_string, is_escaped, counted },
        };
        let used = end.map_or(bytes.len(), |end| end + 1);
        if counted {
            self.take(&bytes[..used]);
        }
        used
    }

    /// Takes a run of text without escapes.
    fn take(&mut self, plain: &[u8]) {
        if !plain.is_empty() && !self.is_said() {
            self.bytes += plain.len() as u64;
            self.write(plain);
        }
    }

    /// Whether these are thoughts that came under another name.
    fn is_said(&mut self) -> bool {
        THOUGHTS.contains(&self.names[self.at]) && *self.thought.get_or_insert(self.at) != self.at
    }

    /// Takes what was written.
    fn write(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        // What was said does not go on with what was thought, and a call's tokens are not those of its text alone.
        if self.last.is_some_and(|last| last != self.at) || CALLS.contains(&self.names[self.at]) {
            self.tally.blur();
        }
        self.last = Some(self.at);
        if std::mem::take(&mut self.half) != 0 {
            self.pass(REPLACEMENT);
        }
        self.pass(bytes);
    }

    /// Hands text on.
    fn pass(&mut self, bytes: &[u8]) {
        if let Some(kept) = self.kept.as_mut().filter(|_| !self.is_other) {
            kept.push_part(bytes, self.at, std::mem::take(&mut self.begins) && self.is_apart);
        }
        if !self.is_told {
            self.tally.push(bytes);
        }
    }

    /// Takes a unit of UTF-16: a letter, or half of one.
    fn write_unit(&mut self, unit: u16) {
        let letter = match (self.half, unit) {
            (_, 0xd800..0xdc00) => {
                if self.half != 0 {
                    self.pass(REPLACEMENT);
                }
                self.half = unit;
                return;
            }
            (0, _) => char::from_u32(unit.into()),
            (half, 0xdc00..0xe000) => {
                self.half = 0;
                char::from_u32(0x10000 + ((u32::from(half) & 0x3ff) << 10 | u32::from(unit) & 0x3ff))
            }
            (_, _) => char::from_u32(unit.into()),
        };
        let letter = letter.unwrap_or(char::REPLACEMENT_CHARACTER);
        self.write(letter.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// What stands before all text of the frames of a stream, and the names that it stands behind.
pub(super) fn places(kind: StreamKind) -> (&'static Mark, Names) {
    match kind {
        StreamKind::Responses | StreamKind::OtherSse => (&DELTA, &[b"delta"]),
        StreamKind::Chat => (&DELTA, BODY),
        StreamKind::Completions => (&TEXT, &[b"text"]),
        StreamKind::Messages => (&DELTA, &[b"text", b"thinking", b"partial_json"]),
        StreamKind::OllamaChat => (&MESSAGE, OLLAMA),
        StreamKind::OllamaGenerate => (&RESPONSE, OLLAMA),
    }
}

/// Whether an `index` in its frames tells alternatives apart.
pub(super) const fn has_choices(kind: StreamKind) -> bool {
    matches!(kind, StreamKind::Chat | StreamKind::Completions)
}

/// How many bytes a unit of UTF-16 takes; two that make one letter take four together.
const fn utf8_bytes(unit: u16) -> u64 {
    match unit {
        ..0x80 => 1,
        0x80..0x800 | 0xd800..0xe000 => 2,
        _ => 3,
    }
}

/// What stands for half a letter.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// What an escape of one letter stands for.
const fn unescaped(letter: u8) -> u8 {
    match letter {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 8,
        b'f' => 12,
        other => other,
    }
}

/// Names of what goes to tools, or is spoken: their tokens are not those of the text alone. Some have objects.
pub(super) const CALLS: Names = &[b"arguments", b"partial_json", b"input", b"transcript"];
/// Two names of one thing, which some servers give both.
const THOUGHTS: Names = &[b"reasoning", b"reasoning_content"];
/// What stands behind these is in the text, or not the model's; details of thoughts if those came before.
pub(super) const AGAIN: Names = &[b"reasoning_details", b"annotations"];
/// What a whole response says of its request.
const ECHOED: Names = &[b"tools", b"instructions", b"metadata", b"prompt", b"format", b"tool_choice"];
/// Chat, also its streams, completions and responses.
const BODY: Names =
    &[b"content", b"reasoning_content", b"reasoning", b"refusal", b"arguments", b"text", b"input", b"transcript"];
const OLLAMA: Names = &[b"content", b"response", b"thinking", b"arguments"];
