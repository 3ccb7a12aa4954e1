//! The mock's answers, written by the mock and known by heart to the driver: all bytes are checked but the stamps.

use std::io::Write;

/// `<received ns>-<sent ns>`, both padded to 20 digits so that lengths never change.
pub(crate) const STAMPS: usize = 41;

const WHOLE_OPEN: &[u8] = br#"{"id":"t-"#;
const WHOLE_MIDDLE: &[u8] = br#"","object":"chat.completion","created":1,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":""#;
const WHOLE_CLOSE: &[u8] =
    br#""},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21}}"#;

const FRAME_OPEN: &[u8] = br#"data: {"id":"t-"#;
const FRAME_MIDDLE: &[u8] =
    br#"","object":"chat.completion.chunk","created":1,"model":"bench","choices":[{"index":0,"delta":{"content":"token "#;
const FRAME_CLOSE: &[u8] = b" \"},\"finish_reason\":null}]}\n\n";

pub(crate) const FINISH: &[u8] = b"data: {\"id\":\"t\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"bench\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
pub(crate) const USAGE: &[u8] = b"data: {\"id\":\"t\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"bench\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":12,\"total_tokens\":21}}\n\n";
pub(crate) const DONE: &[u8] = b"data: [DONE]\n\n";

const SENTENCE: &[u8] = b"The water falls, the wheel turns, and the mill grinds what it is given.\\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamps {
    /// When the mock held the whole request.
    pub(crate) received_ns: u64,
    /// When it began to send this.
    pub(crate) sent_ns: u64,
}

impl Stamps {
    pub(crate) fn write(&self, out: &mut [u8]) {
        let mut out = out;
        drop(write!(out, "{:020}-{:020}", self.received_ns, self.sent_ns));
    }

    fn read(text: &[u8]) -> Option<Self> {
        let (received, sent) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self { received_ns: received.parse().ok()?, sent_ns: sent.parse().ok()? })
    }

    /// Time that the mock itself took.
    pub(crate) fn spent_ns(&self) -> u64 {
        self.sent_ns.saturating_sub(self.received_ns)
    }
}

/// Text as models write it, escapes included, of exactly this many JSON bytes.
pub(crate) fn filler(bytes: usize) -> Vec<u8> {
    let mut text = SENTENCE.repeat(bytes / SENTENCE.len());
    text.resize(bytes, b'x');
    text
}

/// An unstreamed answer's body, the stamps left blank at [`stamps_at`].
pub(crate) fn whole(bytes: usize) -> Vec<u8> {
    let fixed = WHOLE_OPEN.len() + STAMPS + WHOLE_MIDDLE.len() + WHOLE_CLOSE.len();
    let filler = filler(bytes.saturating_sub(fixed));
    [WHOLE_OPEN, &[b'0'; STAMPS], WHOLE_MIDDLE, &filler, WHOLE_CLOSE].concat()
}

/// Where the stamps stand in an unstreamed body.
pub(crate) fn stamps_at() -> std::ops::Range<usize> {
    WHOLE_OPEN.len()..WHOLE_OPEN.len() + STAMPS
}

/// The stamps of an unstreamed body, if all else is what [`whole`] made.
pub(crate) fn check_whole(body: &[u8], expected: &[u8]) -> Option<Stamps> {
    let at = stamps_at();
    let same = body.len() == expected.len()
        && body[..at.start] == expected[..at.start]
        && body[at.end..] == expected[at.end..];
    if same { Stamps::read(&body[at]) } else { None }
}

/// The same for a gateway that writes answers anew: what must hold is the text, and the stamps in the id.
pub(crate) fn check_rewritten(body: &[u8], expected: &[u8]) -> Option<Stamps> {
    let read = |bytes| serde_json::from_slice::<serde_json::Value>(bytes).ok();
    let (found, wanted) = (read(body)?, read(expected)?);
    let text = "/choices/0/message/content";
    let same = found.pointer(text).is_some_and(|t| Some(t) == wanted.pointer(text));
    let id = found.get("id")?.as_str()?.strip_prefix("t-")?;
    if same { Stamps::read(id.as_bytes()) } else { None }
}

/// One content frame of a stream.
pub(crate) fn frame(stamps: Stamps, number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(FRAME_OPEN);
    let at = out.len();
    out.resize(at + STAMPS, b'0');
    stamps.write(&mut out[at..]);
    out.extend_from_slice(FRAME_MIDDLE);
    out.extend_from_slice(format!("{number:05}").as_bytes());
    out.extend_from_slice(FRAME_CLOSE);
}

/// The stamps of content frame `number`, if it is that and nothing else.
pub(crate) fn check_frame(frame: &[u8], number: u32) -> Option<Stamps> {
    let rest = frame.strip_prefix(FRAME_OPEN)?;
    let (stamps, rest) = rest.split_at_checked(STAMPS)?;
    let rest = rest.strip_prefix(FRAME_MIDDLE)?;
    let (digits, rest) = rest.split_at_checked(5)?;
    let found: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    if found == number && rest == FRAME_CLOSE { Stamps::read(stamps) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMPED: Stamps = Stamps { received_ns: 7, sent_ns: 19 };

    #[test]
    fn a_whole_answer_is_json_of_the_wished_length_and_gives_its_stamps_back() {
        for bytes in [1024, 32_768, 1_048_576] {
            let expected = whole(bytes);
            let mut body = expected.clone();
            STAMPED.write(&mut body[stamps_at()]);
            assert_eq!(body.len(), bytes);
            assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
            assert_eq!(check_whole(&body, &expected), Some(STAMPED));
            assert_eq!(check_rewritten(&body, &expected), Some(STAMPED));
            body[bytes / 2] ^= 1;
            assert_eq!(check_whole(&body, &expected), None);
        }
    }

    #[test]
    fn a_frame_out_of_turn_is_refused() {
        let mut text = Vec::new();
        frame(STAMPED, 4, &mut text);
        assert_eq!(check_frame(&text, 4), Some(STAMPED));
        assert_eq!(check_frame(&text, 5), None);
        assert_eq!(check_frame(&text[..text.len() - 1], 4), None);
    }
}
