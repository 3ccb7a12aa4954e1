//! Cuts the bytes of a stream into whole frames: SSE events with their blank line, or JSON lines.

use crate::dialects::StreamKind;

/// A frame longer than this flows in pieces.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;

/// Finds the ends of frames; remembers how far it looked, so that no byte is looked at twice.
///
/// Line ends are `\n`, `\r\n` and `\r`, mixed as they come; a `\r` that ends the bytes so far is undecided until
/// the next byte shows whether a `\n` belongs to it.
#[derive(Clone, Debug)]
pub struct Splitter {
    lines: bool,
    /// How many bytes of the current frame were looked at.
    scanned: usize,
    /// Nothing of the current line was seen yet.
    at_line_start: bool,
}

impl Splitter {
    pub fn new(kind: StreamKind) -> Self {
        Self { lines: kind.is_lines(), scanned: 0, at_line_start: true }
    }

    /// The length of the first complete frame of `payload`, its end included, which the caller then consumes.
    /// With `None` call again with the same bytes and more behind them.
    pub fn next(&mut self, payload: &[u8]) -> Option<usize> {
        let end = self.find_end(payload)?;
        self.restart();
        Some(end)
    }

    /// For a frame over [`MAX_FRAME_BYTES`]: how much of `payload` may flow now, and whether that ends the frame.
    /// The caller consumes that many bytes before the next call; 0 means that more bytes are needed.
    pub fn piece(&mut self, payload: &[u8]) -> (usize, bool) {
        if let Some(end) = self.find_end(payload) {
            self.restart();
            return (end, true);
        }
        // An undecided `\r` stays behind.
        let flow = self.scanned;
        self.scanned = 0;
        (flow, false)
    }

    /// Whether nothing of the next frame was looked at.
    pub fn is_at_start(&self) -> bool {
        self.scanned == 0
    }

    fn restart(&mut self) {
        self.scanned = 0;
        self.at_line_start = true;
    }

    fn find_end(&mut self, payload: &[u8]) -> Option<usize> {
        if self.lines {
            let found = memchr::memchr(b'\n', payload.get(self.scanned..)?);
            if found.is_none() {
                self.scanned = payload.len();
            }
            return found.map(|at| self.scanned + at + 1);
        }
        loop {
            let rest = payload.get(self.scanned..)?;
            let Some(at) = memchr::memchr2(b'\n', b'\r', rest) else {
                self.at_line_start &= rest.is_empty();
                self.scanned = payload.len();
                return None;
            };
            let blank = self.at_line_start && at == 0;
            let end = match (rest[at], rest.get(at + 1)) {
                (b'\r', None) => {
                    self.at_line_start &= at == 0;
                    self.scanned += at;
                    return None;
                }
                (b'\r', Some(b'\n')) => at + 2,
                _ => at + 1,
            };
            self.scanned += end;
            self.at_line_start = true;
            if blank {
                return Some(self.scanned);
            }
        }
    }
}
