//! The one pass over a head's fields: exact line ends, spans, and all that bears on framing and reuse.

use super::{
    super::{chars::is_token, names::same},
    Field, HeadError, Span, members,
};

/// The most fields that any head may have.
pub(super) const MAX_FIELDS: usize = 128;

pub(super) const LINE_END: HeadError = HeadError::Malformed("a line does not end with CR LF");

#[derive(Default, PartialEq, Eq, Clone, Copy)]
pub(super) enum Expect {
    #[default]
    Nothing,
    Continue,
    Other,
}

/// What the fields say about this message's body and this connection's future.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each read once")]
#[derive(Default)]
pub(super) struct Facts {
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    /// `Connection: upgrade` or an `Upgrade` to anything but `h2c`, which stock Java clients offer and do not insist on.
    pub(super) upgrade: bool,
    pub(super) expect: Expect,
    pub(super) host: Option<Span>,
    coded: bool,
}

fn refuse_if(wrong: bool, reason: &'static str) -> Result<(), HeadError> {
    if wrong { Err(HeadError::Malformed(reason)) } else { Ok(()) }
}

/// Where `part`, a slice of `whole`, begins in it.
pub(super) fn offset(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr())
}

/// The index after the CR LF at `at`.
pub(super) fn after_crlf(bytes: &[u8], at: usize) -> Result<usize, HeadError> {
    match bytes.get(at..at + 2) {
        Some(b"\r\n") => Ok(at + 2),
        _ => Err(LINE_END),
    }
}

impl Facts {
    /// Checks what httparse lets pass (it takes a lone LF for a line end), fills `fields`, and returns the head's length.
    /// `at` is where the first field line begins.
    pub(super) fn read(
        bytes: &[u8],
        mut at: usize,
        parsed: &[httparse::Header<'_>],
        fields: &mut Vec<Field>,
    ) -> Result<(Self, usize), HeadError> {
        let mut facts = Self::default();
        for header in parsed {
            let (name, value) = (offset(bytes, header.name.as_bytes()), offset(bytes, header.value));
            if name != at {
                return Err(LINE_END);
            }
            let end = value + header.value.len();
            at = after_crlf(bytes, end).or_else(|_| {
                let blank = bytes[end..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
                after_crlf(bytes, end + blank)
            })?;
            let field = Field { name: Span::new(name, name + header.name.len()), value: Span::new(value, end) };
            fields.push(field);
            facts.note(header, field.value)?;
        }
        let len = after_crlf(bytes, at)?;
        refuse_if(facts.coded && facts.length.is_some(), "both Content-Length and Transfer-Encoding")?;
        Ok((facts, len))
    }

    fn note(&mut self, header: &httparse::Header<'_>, span: Span) -> Result<(), HeadError> {
        let (name, value) = (header.name.as_bytes(), header.value);
        // Lengths first: nearly every field is passed over by one comparison.
        match name.len() {
            4 if same(name, "host") => {
                let before = self.host.replace(span);
                refuse_if(before.is_some(), "Host is repeated")?;
            }
            6 if same(name, "expect") => {
                let known = value.eq_ignore_ascii_case(b"100-continue") && self.expect == Expect::Nothing;
                self.expect = if known { Expect::Continue } else { Expect::Other };
            }
            7 if same(name, "upgrade") => {
                self.upgrade |= members(value).any(|protocol| !protocol.eq_ignore_ascii_case(b"h2c"));
            }
            10 if same(name, "connection") => self.note_connection(value)?,
            14 if same(name, "content-length") => {
                let before = self.length.replace(length(value)?);
                refuse_if(before.is_some(), "Content-Length is repeated")?;
            }
            17 if same(name, "transfer-encoding") => {
                refuse_if(self.coded, "Transfer-Encoding is repeated")?;
                self.coded = true;
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(HeadError::UnknownCoding);
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn note_connection(&mut self, value: &[u8]) -> Result<(), HeadError> {
        for option in members(value) {
            if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if !option.iter().copied().all(is_token) {
                return Err(HeadError::Malformed("a Connection option is not a token"));
            } else if [&b"content-length"[..], b"transfer-encoding", b"host"]
                .iter()
                .any(|n| option.eq_ignore_ascii_case(n))
            {
                // A hop that obeyed would change where the body ends or whom the request is for.
                return Err(HeadError::Malformed("a Connection option names a field of the message itself"));
            }
        }
        Ok(())
    }
}

/// Digits only, no leading zero, far from overflow: whatever else is sent, some recipient reads it otherwise.
fn length(value: &[u8]) -> Result<u64, HeadError> {
    let plain = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    refuse_if(!plain, "Content-Length is not a plain number")?;
    refuse_if(value.len() > 1 && value[0] == b'0', "Content-Length has leading zeros")?;
    refuse_if(value.len() > 18, "Content-Length is beyond all bounds")?;
    Ok(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}
