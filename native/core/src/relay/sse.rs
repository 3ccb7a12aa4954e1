//! The lines of one server-sent event: what it holds, and how it is rewritten when it must be.

/// The field that a line sets; its value without one leading space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Blank,
    Comment,
    Data(&'a [u8]),
    Event(&'a [u8]),
    /// `id` or `retry`.
    State,
    /// A field without meaning.
    Other,
}

impl<'a> Line<'a> {
    /// Reads a line given without its end.
    pub(super) fn of(line: &'a [u8]) -> Self {
        if line.is_empty() {
            return Self::Blank;
        }
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or(b"");
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"" => Self::Comment,
            b"data" => Self::Data(value),
            b"event" => Self::Event(value),
            b"id" | b"retry" => Self::State,
            _ => Self::Other,
        }
    }
}

/// The lines of a frame, each with its end: (whole line, its content).
pub(super) fn lines(frame: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = frame;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let content = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let end = match (rest.get(content), rest.get(content + 1)) {
            (Some(b'\r'), Some(b'\n')) => content + 2,
            (Some(_), _) => content + 1,
            (None, _) => content,
        };
        let line = (&rest[..end], &rest[..content]);
        rest = &rest[end..];
        Some(line)
    })
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Event<'a> {
    /// The last event name.
    pub(super) name: Option<&'a [u8]>,
    /// The first line of data.
    pub(super) data: &'a [u8],
    pub(super) data_lines: usize,
    /// Any of the data is more than blanks.
    pub(super) has_data: bool,
    /// An `id` or `retry` line is there.
    pub(super) has_state: bool,
    /// Any field at all is there, comments aside.
    pub(super) has_fields: bool,
}

impl<'a> Event<'a> {
    pub(super) fn of(frame: &'a [u8]) -> Self {
        let mut event = Self::default();
        for (_, content) in lines(frame) {
            let line = Line::of(content);
            event.has_fields |= !matches!(line, Line::Blank | Line::Comment);
            match line {
                Line::Data(value) => {
                    if event.data_lines == 0 {
                        event.data = value;
                    }
                    event.data_lines += 1;
                    event.has_data |= !value.trim_ascii().is_empty();
                }
                Line::Event(value) => event.name = Some(value),
                Line::State => event.has_state = true,
                Line::Blank | Line::Comment | Line::Other => {}
            }
        }
        event
    }
}

/// The data of a frame that is the usual one line between `data:` and a blank line; `None` for any other frame.
#[inline]
pub(super) fn single_data_line(frame: &[u8]) -> Option<&[u8]> {
    let rest = frame.strip_prefix(b"data:")?;
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let content = rest.strip_suffix(b"\n\n").or_else(|| rest.strip_suffix(b"\r\n\r\n"))?;
    memchr::memchr2(b'\n', b'\r', content).is_none().then_some(content)
}

/// The values of all data lines.
pub(super) fn data_lines(frame: &[u8]) -> impl Iterator<Item = &[u8]> {
    lines(frame).filter_map(|(_, content)| match Line::of(content) {
        Line::Data(value) => Some(value),
        _ => None,
    })
}

/// The frame without its `id` and `retry` lines.
pub(super) fn without_state(frame: &[u8]) -> Vec<u8> {
    let kept = lines(frame).filter(|(_, content)| Line::of(content) != Line::State);
    kept.fold(Vec::with_capacity(frame.len()), |mut out, (line, _)| {
        out.extend_from_slice(line);
        out
    })
}

/// The bytes that turn what is left at the end of a stream into a frame.
pub(super) fn missing_end(rest: &[u8]) -> &'static [u8] {
    // After a lone CR the first LF only completes that line's end.
    if rest.ends_with(b"\n") { b"\n" } else { b"\n\n" }
}
