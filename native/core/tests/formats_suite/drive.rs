//! Drives a splitter and a tap over a body in pieces, as the relay does.

use penstock_core::{
    dialects::StreamKind,
    relay::{
        frames::Splitter,
        tap::{Closing, Meaning, Tap, Usage, Verdict},
    },
};

/// Everything that can be seen of one stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub out: String,
    pub meanings: Vec<Meaning>,
    pub usage: Option<Usage>,
    pub finish: Option<String>,
    pub ended: bool,
    pub frames: u64,
    pub closing: Closing,
}

/// Feeds `pieces`; frames longer than `max_frame` flow.
pub(crate) fn drive<'a>(
    kind: StreamKind,
    swallow: bool,
    max_frame: usize,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Seen {
    let (mut splitter, mut tap) = (Splitter::new(kind), Tap::new(kind, swallow));
    let (mut payload, mut out, mut meanings) = (Vec::new(), Vec::new(), Vec::new());
    let mut take = |(meaning, verdict): (Meaning, Verdict), frame: &[u8], out: &mut Vec<u8>| {
        meanings.push(meaning);
        match verdict {
            Verdict::Pass => out.extend_from_slice(frame),
            Verdict::Drop => {}
            Verdict::Replace(bytes) => out.extend_from_slice(&bytes),
        }
    };
    let mut flowing = false;
    for piece in pieces {
        payload.extend_from_slice(piece);
        loop {
            if splitter.is_at_start()
                && let Some(len) = tap.alike(&payload)
            {
                let frame: Vec<u8> = payload.drain(..len).collect();
                take((Meaning::Model, Verdict::Pass), &frame, &mut out);
                continue;
            }
            if flowing || payload.len() > max_frame {
                let whole = if flowing { None } else { splitter.clone().next(&payload) };
                if whole.is_none() {
                    let (len, last) = splitter.piece(&payload);
                    if len == 0 {
                        break;
                    }
                    let drop = tap.ended();
                    let bytes: Vec<u8> = payload.drain(..len).collect();
                    let meaning = tap.piece(&bytes, last);
                    if !drop {
                        out.extend_from_slice(&bytes);
                    }
                    if last {
                        take((meaning, Verdict::Drop), b"", &mut out);
                    }
                    flowing = !last;
                    continue;
                }
            }
            let Some(len) = splitter.next(&payload) else { break };
            let frame: Vec<u8> = payload.drain(..len).collect();
            let result = tap.frame(&frame);
            take(result, &frame, &mut out);
        }
    }
    if !payload.is_empty() {
        let result = tap.remainder(&payload);
        take(result, &payload, &mut out);
    }
    let closing = tap.closing(false);
    if let Closing::Complete(end) = closing {
        out.extend_from_slice(end);
    }
    Seen {
        out: String::from_utf8_lossy(&out).into_owned(),
        meanings,
        usage: tap.usage(),
        finish: tap.finish().map(str::to_owned),
        ended: tap.ended(),
        frames: tap.frames(),
        closing,
    }
}

/// In one piece, nothing oversize.
pub(crate) fn whole(kind: StreamKind, swallow: bool, body: &str) -> Seen {
    drive(kind, swallow, usize::MAX, [body.as_bytes()])
}

/// A usage with prompt and completion alone.
pub(crate) fn tokens(prompt_tokens: u64, completion_tokens: u64) -> Usage {
    Usage { prompt_tokens, completion_tokens, ..Usage::default() }
}
