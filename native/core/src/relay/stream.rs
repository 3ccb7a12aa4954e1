//! Passes a stream on, whole frames at a time, each as soon as it is complete.

use std::{future::poll_fn, pin::Pin};

use tokio::time::Instant;

use super::{
    Passed, Watched,
    frames::MAX_FRAME_BYTES,
    peek::Opening,
    source::Source,
    tap::{Closing, Meaning, Verdict},
    watch,
};
use crate::{
    clock::Clock,
    error::{Code, Error, Side},
    observe::record::Outcome,
    request::{Asks, Gone, Guard, Reply, Stated},
    server::{connection::Client, timer},
};

/// What the relay of a stream needs to know of its request.
pub struct Passing<'a> {
    pub clock: &'a Clock,
    pub request_id: &'a str,
    /// The model's name as the client asked for it.
    pub model: &'a str,
    pub between_bytes_ms: u64,
    pub keepalive_ms: u64,
    /// When the whole request must be over.
    pub total_at: Option<Instant>,
    /// What the request holds.
    pub guard: &'a Guard,
    /// What it asked for, and of which model, by its provider's name.
    pub asks: &'a Asks,
    pub target: &'a str,
}

impl Passing<'_> {
    /// Charges what passed. `is_whole`: all of it is there, unless an error ended it.
    pub async fn settle(&self, opening: &mut Opening, is_whole: bool) {
        let tap = &opening.tap;
        let is_whole = is_whole && !tap.has_failed();
        let stated = Stated { usage: tap.usage(), tier: tap.tier(), is_current: tap.is_current() };
        let said = self.guard.said(stated, opening.tap.text(), self.asks, self.target, is_whole).await;
        self.guard.settle(&said);
    }
}

/// What one look at the payload found, as offsets into the bytes to send.
#[derive(Default)]
struct Batch {
    /// Bytes of the payload that are used up.
    taken: usize,
    /// Set when something other than the payload itself goes out.
    rewritten: Option<Vec<u8>>,
    /// Where the frame that ends the stream begins, in what goes out.
    end_at: Option<usize>,
    error: bool,
}

impl Batch {
    fn bytes<'a>(&'a self, payload: &'a [u8]) -> &'a [u8] {
        self.rewritten.as_deref().unwrap_or(&payload[..self.taken])
    }

    fn push(&mut self, payload: &[u8], length: usize, verdict: Verdict) {
        let frame = &payload[self.taken..self.taken + length];
        if verdict != Verdict::Pass {
            self.rewritten.get_or_insert_with(|| payload[..self.taken].to_vec());
        }
        match (verdict, &mut self.rewritten) {
            (Verdict::Pass, Some(out)) => out.extend_from_slice(frame),
            (Verdict::Replace(bytes), Some(out)) => out.extend_from_slice(&bytes),
            _ => {}
        }
        self.taken += length;
    }
}

/// Passes the stream on until it ends, is cut, or the client leaves.
pub async fn pass(
    client: &mut Client,
    reply: &mut Reply,
    mut source: Source,
    opening: &mut Opening,
    passing: &Passing<'_>,
) -> Result<Passed, Gone> {
    let mut early = std::mem::take(&mut opening.early);
    let mut passed = Passed::default();
    // When the last of the stream came; silence begins once the client has taken it.
    let mut last = Instant::now();
    loop {
        let batch = gather(source.payload(), opening);
        passed.error = if batch.error { Some(Code::UpstreamError) } else { passed.error };
        if opening.tap.ended() {
            passing.settle(opening, true).await;
            let bytes = batch.bytes(source.payload());
            let (before, end) = bytes.split_at(batch.end_at.unwrap_or(bytes.len()));
            if !early.is_empty() && end.is_empty() {
                reply.end(client, &[&early, before]).await?;
            } else {
                if !early.is_empty() || !before.is_empty() {
                    reply.send(client, &[&early, before]).await?;
                }
                reply.end(client, &[end]).await?;
            }
            return Ok(Passed { source: Some(source), ..passed });
        }
        let bytes = batch.bytes(source.payload());
        let mut from = last;
        if !early.is_empty() || !bytes.is_empty() {
            let has_waited = reply.send(client, &[&early, bytes]).await?;
            if has_waited {
                from = Instant::now();
            }
            early.clear();
        }
        let taken = batch.taken;
        source.consume(taken);
        if let Some(text) = opening.tap.text().filter(|text| text.is_due()) {
            passing.guard.count_on(text, passing.target);
        }
        let more = wait(client, reply, &mut source, opening, passing, from).await?;
        let now = Instant::now();
        passed.longest_gap_us = passed.longest_gap_us.max((now - from).as_micros() as u64);
        last = now;
        match more {
            Ok(true) => {}
            Ok(false) => return end(client, reply, source, opening, passing, passed, None).await,
            Err(error) => return end(client, reply, source, opening, passing, passed, Some(error)).await,
        }
    }
}

/// Takes all whole frames that are here; of a frame larger than the bound, as much as has come.
fn gather(payload: &[u8], opening: &mut Opening) -> Batch {
    let mut batch = Batch::default();
    while batch.taken < payload.len() {
        let rest = &payload[batch.taken..];
        // Part of a frame is not looked at each time that more of it comes.
        if opening.splitter.is_at_start()
            && let Some(length) = opening.tap.alike(rest)
        {
            batch.push(payload, length, Verdict::Pass);
            continue;
        }
        let whole = if opening.tap.is_mid_frame() { None } else { opening.splitter.next(rest) };
        if whole.is_none() && !opening.tap.is_mid_frame() && rest.len() <= MAX_FRAME_BYTES {
            break;
        }
        let already_ended = opening.tap.ended();
        let (length, meaning, verdict) = if let Some(length) = whole {
            let (meaning, verdict) = opening.tap.frame(&rest[..length]);
            (length, meaning, verdict)
        } else {
            let (length, last) = opening.splitter.piece(rest);
            let verdict = if already_ended { Verdict::Drop } else { Verdict::Pass };
            (length, opening.tap.piece(&rest[..length], last), verdict)
        };
        batch.error |= matches!(meaning, Meaning::Error(_));
        if opening.tap.ended() && !already_ended {
            batch.end_at = Some(batch.rewritten.as_ref().map_or(batch.taken, Vec::len));
        }
        batch.push(payload, length, verdict);
        if opening.tap.is_mid_frame() {
            break; // it flows on with the next bytes
        }
    }
    batch
}

/// Waits for more of the stream, with keep-alives between frames while there is silence, which began `now`.
async fn wait(
    client: &mut Client,
    reply: &mut Reply,
    source: &mut Source,
    opening: &Opening,
    passing: &Passing<'_>,
    mut now: Instant,
) -> Result<Result<bool, Error>, Gone> {
    let mut more = poll_fn(|cx| source.poll_more(cx));
    let silent_at = timer::earlier(timer::from(now, passing.between_bytes_ms), passing.total_at);
    loop {
        let keepalive_at = if opening.tap.is_mid_frame() { None } else { timer::from(now, passing.keepalive_ms) };
        client.timer.set_at(timer::earlier(silent_at, keepalive_at));
        match watch(client, Pin::new(&mut more)).await {
            Watched::Done(result) => return Ok(result.map_err(Error::from)),
            Watched::Gone => {
                let why = client.take_cut().ok_or(Gone)?;
                reply.hurry();
                return Ok(Err(why.error()));
            }
            Watched::Late if timer::is_past(silent_at) => {
                let message = "the upstream fell silent in the middle of its answer";
                return Ok(Err(Error::new(Code::UpstreamTimeout, message)));
            }
            Watched::Late => {
                let mut frame = Vec::new();
                opening.kind.keep_alive(passing.model, passing.clock.utc_us(), &mut frame);
                reply.send(client, &[&frame]).await?;
                now = Instant::now();
            }
        }
    }
}

/// The upstream's body ended, or was broken off by `error`, before the dialect's own end was seen.
async fn end(
    client: &mut Client,
    reply: &mut Reply,
    source: Source,
    opening: &mut Opening,
    passing: &Passing<'_>,
    mut passed: Passed,
    error: Option<Error>,
) -> Result<Passed, Gone> {
    let rest = source.payload();
    let inside_frame = opening.tap.is_mid_frame();
    let (meaning, verdict) =
        if rest.is_empty() || inside_frame { (Meaning::Comment, Verdict::Drop) } else { opening.tap.remainder(rest) };
    let last: &[u8] = match &verdict {
        Verdict::Pass => rest,
        Verdict::Replace(bytes) => bytes,
        Verdict::Drop => b"",
    };
    if matches!(meaning, Meaning::Error(_)) {
        passed.error = Some(Code::UpstreamError);
    }
    match opening.tap.closing(error.is_some()) {
        Closing::Complete(mark) if !inside_frame => {
            passing.settle(opening, true).await;
            reply.end(client, &[last, mark]).await?;
            Ok(Passed { source: Some(source), ..passed })
        }
        _ => {
            let is_told = last.is_empty() || reply.send(client, &[last]).await.is_ok();
            let message = "The upstream cut its stream off before the answer was complete.";
            let error = error.unwrap_or_else(|| Error::new(Code::UpstreamCut, message));
            if !is_told && error.code.side() == Side::Upstream {
                return Err(Gone);
            }
            (passed.error, passed.broken) = (Some(error.code), !is_told);
            drop(source);
            cut(client, reply, opening, passing, error, passed).await
        }
    }
}

/// Tells the client that the stream stops here: by an error frame, or by breaking off inside a frame.
async fn cut(
    client: &mut Client,
    reply: &mut Reply,
    opening: &mut Opening,
    passing: &Passing<'_>,
    error: Error,
    mut passed: Passed,
) -> Result<Passed, Gone> {
    passed.outcome = if error.code.side() == Side::Upstream { Outcome::UpstreamCut } else { Outcome::Failed };
    passed.broken |= opening.tap.is_mid_frame();
    passing.settle(opening, false).await;
    if !passed.broken {
        let mut frame = Vec::new();
        opening.kind.error_frame(&error, passing.request_id, &mut frame);
        match reply.end(client, &[&frame]).await {
            // It was ended by us, whether or not the client takes that.
            Err(Gone) if passed.outcome == Outcome::Failed => passed.broken = true,
            told => told?,
        }
    }
    Ok(passed)
}
