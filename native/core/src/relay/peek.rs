//! Looks at the beginning of an answer before any of it is passed on: until the first model frame, another target
//! may still be tried.

use super::{
    frames::{MAX_FRAME_BYTES, Splitter},
    source::Source,
    tap::{Meaning, Tap, Verdict},
};
use crate::{
    dialects::StreamKind,
    error::{Code, Failure, Retry},
    http::head::ResponseHead,
    request::{content, outbound::Outbound},
};

/// The beginning of a stream.
pub struct Opening {
    pub kind: StreamKind,
    pub splitter: Splitter,
    pub tap: Tap,
    /// Frames up to the first model frame, as they go to the client.
    pub early: Vec<u8>,
    /// When the first model frame was here, microseconds since boot.
    pub first_us: u64,
}

/// Reads a stream up to its first model frame. `None`: the answer is no stream and none was asked for.
pub async fn open(
    out: &Outbound<'_>,
    source: &mut Source,
    head: &ResponseHead,
    swallow_usage: bool,
) -> Result<Option<Box<Opening>>, Failure> {
    let Some(kind) = out.endpoint.stream_kind() else { return Ok(None) };
    let content_type = head.field(source.head(), "content-type");
    let is_stream = content_type.map_or(out.stream.is_some(), |t| is_stream_type(kind, t, out.stream.is_some()));
    let mismatch = |what: &str| {
        let content_type = String::from_utf8_lossy(content_type.unwrap_or_default());
        Failure::new(
            Code::UpstreamProtocol,
            Retry::Yes,
            format!("the upstream answered with {content_type} where {what}"),
        )
    };
    match (is_stream, out.stream.is_some(), kind) {
        (false, _, StreamKind::OtherSse) | (false, false, _) => return Ok(None),
        (false, true, _) => return Err(mismatch("a stream was asked for")),
        (true, false, StreamKind::OtherSse) | (true, true, _) => {}
        (true, false, _) => return Err(mismatch("no stream was asked for")),
    }
    // Boxed, as it is handed from one future to the next several times.
    let mut opening = Box::new(Opening {
        kind,
        splitter: Splitter::new(kind),
        tap: Tap::new(kind, swallow_usage),
        early: Vec::new(),
        first_us: 0,
    });
    opening.tap.want_choices(out.scan.map_or(1, |scan| scan.choices(kind)));
    if out.admission.counts_text() {
        opening.tap.count_text();
        if let Some(text) = opening.tap.text() {
            text.keep(content::answer(out.worker, out.snapshot, out.content));
        }
    }
    read_first(source, &mut opening).await?;
    opening.first_us = out.worker.clock().boot_us();
    Ok(Some(opening))
}

async fn read_first(source: &mut Source, opening: &mut Opening) -> Result<(), Failure> {
    loop {
        while let Some(length) = opening.splitter.next(source.payload()) {
            let (meaning, verdict) = opening.tap.frame(&source.payload()[..length]);
            match verdict {
                Verdict::Pass if meaning == Meaning::Comment && opening.early.len() > MAX_FRAME_BYTES => {}
                Verdict::Pass => opening.early.extend_from_slice(&source.payload()[..length]),
                Verdict::Replace(bytes) => opening.early.extend_from_slice(&bytes),
                Verdict::Drop => {}
            }
            source.consume(length);
            match meaning {
                Meaning::Comment => {}
                Meaning::Model | Meaning::End => return Ok(()),
                Meaning::Error(e) => return Err(failed(&e.message)),
            }
        }
        if source.payload().len() > MAX_FRAME_BYTES {
            return Ok(());
        }
        source.shrink();
        if !source.more().await? {
            return read_remainder(source, opening);
        }
    }
}

/// The stream ended within its first frame: that frame may still be whole but for its blank line.
fn read_remainder(source: &mut Source, opening: &mut Opening) -> Result<(), Failure> {
    let rest = source.payload();
    let (meaning, verdict) =
        if rest.is_empty() { (Meaning::Comment, Verdict::Drop) } else { opening.tap.remainder(rest) };
    match verdict {
        Verdict::Pass => opening.early.extend_from_slice(rest),
        Verdict::Replace(bytes) => opening.early.extend_from_slice(&bytes),
        Verdict::Drop => {}
    }
    let length = rest.len();
    source.consume(length);
    match meaning {
        Meaning::Model | Meaning::End => Ok(()),
        Meaning::Error(e) => Err(failed(&e.message)),
        Meaning::Comment => {
            let message = "the upstream ended its stream before the first frame";
            Err(Failure::new(Code::UpstreamCut, Retry::Yes, message))
        }
    }
}

fn failed(message: &str) -> Failure {
    Failure::new(Code::UpstreamError, Retry::Yes, format!("the upstream failed: {message}"))
}

/// Whether a content type is that of a stream. Ollama answers some requests, such as loading a model, with one JSON
/// object although a stream was `asked` for.
fn is_stream_type(kind: StreamKind, content_type: &[u8], asked: bool) -> bool {
    let is = |name| is_media(content_type, name);
    if kind.is_lines() {
        is("application/x-ndjson") || is("application/ndjson") || (asked && is("application/json"))
    } else {
        are_events(content_type)
    }
}

/// Whether a content type is that of server-sent events.
pub fn are_events(content_type: &[u8]) -> bool {
    is_media(content_type, "text/event-stream")
}

fn is_media(content_type: &[u8], name: &str) -> bool {
    let essence = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    essence.eq_ignore_ascii_case(name.as_bytes())
}
