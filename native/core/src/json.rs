//! A push skimmer over JSON: finds a few known places in bytes cut anywhere, and skips the rest fast.
//!
//! It trusts the syntax: on valid JSON it sees exactly what a full parser would, on anything else it sees
//! something harmless. Whoever needs to know whether JSON is valid must ask a parser.

mod document;
mod nested;
pub(crate) mod strings;
mod text;
pub(crate) mod words;

pub(crate) use document::shape_error;
use nested::Passed;
pub use text::{Scalar, unescape, write_string};
pub(crate) use text::{escape, escaped};
use text::{find_any, find_quote};

/// The byte order mark of UTF-8, which some upstreams send before what they say, and no client expects.
pub const BOM: &[u8] = b"\xef\xbb\xbf";
/// Longest part of a string or number that is kept, in raw bytes.
pub const MAX_TEXT: usize = 1024;
/// A name whose raw bytes are longer than this is none of ours, even with every character escaped.
const MAX_NAME: usize = 192;
/// Deepest place that a sink may look into.
const MAX_DEPTH: usize = 8;

/// Knows the places of interest and takes what stands there.
pub trait Sink {
    /// Where a value stands.
    type Place: Copy + PartialEq;
    /// Where nothing is of interest.
    const NOWHERE: Self::Place;

    /// The place of the member `name` of an object; the name is unescaped, but for the beginning of one longer than any of
    /// ours.
    fn member(&mut self, object: Self::Place, name: &[u8]) -> Self::Place;
    /// The place of each element of an array.
    fn element(&self, array: Self::Place) -> Self::Place;
    /// An object or array begins at a place of interest; true to look inside.
    fn open(&mut self, at: Self::Place, array: bool) -> bool;
    /// A string, number or literal stands at a place of interest.
    fn scalar(&mut self, at: Self::Place, value: Scalar<'_>);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a value, or before the end of an empty array.
    Value,
    /// Before a name, or before the end of an empty object.
    Name,
    InName,
    Colon,
    /// In a string or atom of interest.
    InText,
    InAtom,
    /// After a value: a comma or the end of what it stands in.
    After,
    SkipText,
    SkipAtom,
    /// In an object or array without interest; `skip` counts its open braces or brackets.
    SkipObject,
    SkipArray,
    SkipObjectText,
    SkipArrayText,
    Done,
}

/// Skims one JSON document.
#[derive(Clone, Debug)]
pub struct Skimmer<P> {
    state: State,
    /// The last byte so far was a backslash in a string, so the next one means nothing by itself.
    pending_escape: bool,
    /// The string being read holds an escape.
    escaped: bool,
    depth: u8,
    skip: u32,
    root: P,
    /// The place of the value being read or expected.
    at: P,
    /// The containers around it, and whether they are arrays.
    stack: [(P, bool); MAX_DEPTH],
    /// The beginning of a name, string or atom that was cut.
    held: Vec<u8>,
}

impl<P: Copy + PartialEq> Skimmer<P> {
    /// A document whose outermost value stands at `root`.
    pub fn new(root: P) -> Self {
        Self {
            state: State::Value,
            pending_escape: false,
            escaped: false,
            depth: 0,
            skip: 0,
            root,
            at: root,
            stack: [(root, false); MAX_DEPTH],
            held: Vec::new(),
        }
    }

    /// Begins another document.
    pub fn restart(&mut self) {
        self.state = State::Value;
        self.pending_escape = false;
        self.escaped = false;
        self.depth = 0;
        self.at = self.root;
        self.held.clear();
    }

    /// True once the outermost object, array or string was closed.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The next bytes of the document.
    pub fn feed<S: Sink<Place = P>>(&mut self, bytes: &[u8], sink: &mut S) {
        let mut pos = 0;
        while pos < bytes.len() {
            pos = match self.state {
                State::Value => self.value(bytes, pos, sink),
                State::Name => {
                    match bytes[pos] {
                        b'"' => self.begin(State::InName),
                        b'}' | b']' => self.close(),
                        _ => {}
                    }
                    pos + 1
                }
                State::InName => self.name(bytes, pos, sink),
                State::Colon => {
                    if bytes[pos] == b':' {
                        self.state = State::Value;
                    }
                    pos + 1
                }
                State::InText => self.text(bytes, pos, sink),
                State::InAtom => self.atom(bytes, pos, sink),
                State::After => {
                    match bytes[pos] {
                        b',' => {
                            self.next_value(sink);
                            if self.state == State::Name && bytes.get(pos + 1) == Some(&b'"') {
                                self.begin(State::InName);
                                pos += 1;
                            }
                        }
                        b'}' | b']' => self.close(),
                        _ => {}
                    }
                    pos + 1
                }
                State::SkipText => self.skip_text(bytes, pos, State::After),
                State::SkipAtom => {
                    let end = atom_end(bytes, pos);
                    if end < bytes.len() {
                        self.after();
                    }
                    end
                }
                State::SkipObject => self.skip_nested(bytes, pos, *b"{}", State::SkipObjectText),
                State::SkipArray => self.skip_nested(bytes, pos, *b"[]", State::SkipArrayText),
                State::SkipObjectText => self.skip_text(bytes, pos, State::SkipObject),
                State::SkipArrayText => self.skip_text(bytes, pos, State::SkipArray),
                State::Done => return,
            };
        }
    }

    #[inline]
    fn value<S: Sink<Place = P>>(&mut self, bytes: &[u8], pos: usize, sink: &mut S) -> usize {
        let of_interest = self.at != S::NOWHERE;
        match bytes[pos] {
            b'"' if of_interest => {
                self.begin(State::InText);
                return self.text(bytes, pos + 1, sink);
            }
            b'"' => {
                self.begin(State::SkipText);
                return self.skip_text(bytes, pos + 1, State::After);
            }
            open @ (b'{' | b'[') => {
                let array = open == b'[';
                if of_interest && usize::from(self.depth) < MAX_DEPTH && sink.open(self.at, array) {
                    self.stack[usize::from(self.depth)] = (self.at, array);
                    self.depth += 1;
                    if array {
                        self.at = sink.element(self.at);
                    } else {
                        self.state = State::Name;
                    }
                } else {
                    self.skip = 1;
                    self.state = if array { State::SkipArray } else { State::SkipObject };
                }
            }
            b']' | b'}' => self.close(),
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' => {}
            _ => {
                self.begin(if of_interest { State::InAtom } else { State::SkipAtom });
                return pos;
            }
        }
        pos + 1
    }

    #[inline]
    fn begin(&mut self, state: State) {
        self.state = state;
        self.escaped = false;
        self.held.clear();
    }

    #[inline]
    fn after(&mut self) {
        self.state = if self.depth == 0 { State::Done } else { State::After };
    }

    #[inline]
    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.after();
    }

    #[inline]
    fn next_value<S: Sink<Place = P>>(&mut self, sink: &S) {
        let (place, array) = self.stack[usize::from(self.depth) - 1];
        if array {
            self.at = sink.element(place);
            self.state = State::Value;
        } else {
            self.state = State::Name;
        }
    }

    #[inline]
    fn name<S: Sink<Place = P>>(&mut self, bytes: &[u8], pos: usize, sink: &mut S) -> usize {
        let (end, closed) = self.string_end(bytes, pos);
        if !closed {
            self.hold(&bytes[pos..end], MAX_NAME + 1);
            return end;
        }
        let object = self.stack[usize::from(self.depth.max(1)) - 1].0;
        let raw = if self.held.is_empty() {
            &bytes[pos..end]
        } else {
            self.hold(&bytes[pos..end], MAX_NAME + 1);
            &self.held
        };
        self.at = if self.escaped && raw.len() <= MAX_NAME {
            sink.member(object, &unescape(raw))
        } else {
            sink.member(object, &raw[..raw.len().min(MAX_NAME + 1)])
        };
        // Mostly the colon and the value are here too.
        if bytes.get(end + 1) != Some(&b':') {
            self.state = State::Colon;
            return end + 1;
        }
        self.state = State::Value;
        if end + 2 < bytes.len() { self.value(bytes, end + 2, sink) } else { end + 2 }
    }

    fn text<S: Sink<Place = P>>(&mut self, bytes: &[u8], pos: usize, sink: &mut S) -> usize {
        let (end, closed) = self.string_end(bytes, pos);
        if !closed {
            self.hold(&bytes[pos..end], MAX_TEXT);
            return end;
        }
        let raw = if self.held.is_empty() {
            &bytes[pos..end.min(pos + MAX_TEXT)]
        } else {
            self.hold(&bytes[pos..end], MAX_TEXT);
            &self.held
        };
        sink.scalar(self.at, Scalar::Text { raw, escaped: self.escaped });
        self.after();
        end + 1
    }

    fn atom<S: Sink<Place = P>>(&mut self, bytes: &[u8], pos: usize, sink: &mut S) -> usize {
        let end = atom_end(bytes, pos);
        if end == bytes.len() {
            self.hold(&bytes[pos..end], MAX_TEXT);
            return end;
        }
        let raw = if self.held.is_empty() {
            &bytes[pos..end.min(pos + MAX_TEXT)]
        } else {
            self.hold(&bytes[pos..end], MAX_TEXT);
            &self.held
        };
        sink.scalar(self.at, Scalar::Atom(raw));
        self.after();
        end
    }

    /// Keeps bytes of something that is cut, at most `max` in all.
    fn hold(&mut self, bytes: &[u8], max: usize) {
        let room = max.saturating_sub(self.held.len());
        self.held.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The end of a string from inside it: its closing quote, or the end of the bytes.
    #[inline]
    fn string_end(&mut self, bytes: &[u8], mut pos: usize) -> (usize, bool) {
        if self.pending_escape {
            self.pending_escape = false;
            pos += 1;
        }
        loop {
            match find_quote(bytes, pos) {
                Some(at) if bytes[at] == b'"' => return (at, true),
                Some(at) => {
                    self.escaped = true;
                    if at + 1 == bytes.len() {
                        self.pending_escape = true;
                        return (bytes.len(), false);
                    }
                    pos = at + 2;
                }
                None => return (bytes.len(), false),
            }
        }
    }

    #[inline]
    fn skip_text(&mut self, bytes: &[u8], pos: usize, next: State) -> usize {
        let (end, closed) = self.string_end(bytes, pos);
        if !closed {
            return end;
        }
        if next == State::After {
            self.after();
        } else {
            self.state = next;
        }
        end + 1
    }

    /// Skips an object by its braces alone, an array by its brackets alone: inside, the other pair is balanced.
    fn skip_nested(&mut self, bytes: &[u8], pos: usize, pair: [u8; 2], text: State) -> usize {
        let mut pos = match nested::pass(bytes, pos, pair, self.skip) {
            Passed::Closed(end) => {
                self.after();
                return end;
            }
            Passed::Left { at, open, in_text, pending_escape } => {
                self.skip = open;
                if in_text {
                    self.pending_escape = pending_escape;
                    self.state = text;
                    return at;
                }
                at
            }
        };
        while let Some(at) = find_any(bytes, pos, b'"', pair[0], pair[1]) {
            pos = at + 1;
            if bytes[at] == b'"' {
                let (end, closed) = self.string_end(bytes, pos);
                if !closed {
                    self.state = text;
                    return end;
                }
                pos = end + 1;
            } else if bytes[at] == pair[0] {
                self.skip = self.skip.saturating_add(1);
            } else {
                self.skip -= 1;
                if self.skip == 0 {
                    self.after();
                    return pos;
                }
            }
        }
        bytes.len()
    }
}

#[inline]
fn atom_end(bytes: &[u8], pos: usize) -> usize {
    let ends = |b: &u8| matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t' | b'"' | b'{' | b'[' | b':');
    bytes[pos..].iter().position(ends).map_or(bytes.len(), |n| pos + n)
}
