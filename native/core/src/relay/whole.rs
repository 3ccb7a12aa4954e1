//! Passes an unstreamed answer on as it comes, and reads its usage on the way.

use super::{Passed, Watched, source::Source, text::Text, watch};
use crate::{
    dialects::usage::{BodyTap, Usage},
    error::Code,
    observe::record::Outcome,
    request::{Asks, Gone, Guard, Reply, Said, Stated},
    server::{connection::Client, timer},
};

/// What is read of an answer as it passes.
pub struct Reading<'a> {
    pub tap: Option<BodyTap>,
    pub text: Option<Text>,
    /// What the request holds.
    pub guard: &'a Guard,
    /// What it asked for, and of which model, by its provider's name.
    pub asks: &'a Asks,
    pub target: &'a str,
    /// How much of the payload that is here was read.
    pub ahead: usize,
    /// They are to be had as they come, each to its last byte.
    pub are_events: bool,
    /// It is settled as an error that nobody pays for.
    pub is_free: bool,
}

impl Reading<'_> {
    /// Reads what is here and was not read yet. `last`: nothing comes behind it.
    pub fn read(&mut self, payload: &[u8], last: bool) {
        let bytes = &payload[self.ahead..];
        if bytes.is_empty() {
            return;
        }
        self.ahead = payload.len();
        if let Some(tap) = &mut self.tap {
            tap.feed(bytes);
        }
        // Most answers come in one piece that states its usage: then the text need not be counted.
        let is_told = |usage: Usage| !usage.is_nothing();
        let is_known = last && self.usage().is_some_and(is_told);
        if let Some(text) = self.text.as_mut().filter(|text| !is_known || text.is_kept()) {
            if is_known {
                text.set_told();
            }
            text.feed(bytes);
            if text.is_due() {
                self.guard.count_on(text, self.target);
            }
        }
    }

    pub fn usage(&self) -> Option<Usage> {
        self.tap.as_ref().and_then(BodyTap::usage)
    }

    /// Whether it says that it is an error, whatever its status says.
    pub fn is_error(&self) -> bool {
        self.tap.as_ref().is_some_and(|tap| tap.error().is_some())
    }

    /// Charges what passed. `is_whole`: all of it is there. An error beside which there is nothing costs nothing.
    pub async fn settle(&mut self, is_whole: bool) {
        if self.guard.is_settled() {
            return;
        }
        let tier = self.tap.as_ref().and_then(BodyTap::tier);
        let stated = Stated { usage: self.usage(), tier, is_current: false };
        let is_told = stated.usage.is_some_and(|usage| !usage.is_nothing());
        self.is_free = is_whole && self.is_error() && !is_told && self.tap.as_ref().is_none_or(|tap| !tap.has_parts());
        if self.is_free {
            self.guard.answers(false);
        }
        let text = self.text.as_mut().filter(|_| !self.is_free);
        let said = self.guard.said(stated, text, self.asks, self.target, is_whole).await;
        // An answer that failed is not as long as they are.
        self.guard.settle(&Said { is_whole: said.is_whole && !self.is_error(), ..said });
    }
}

/// Passes the body on until it ends, is cut, or the client leaves.
pub async fn pass(
    client: &mut Client,
    reply: &mut Reply,
    mut source: Source,
    reading: &mut Reading<'_>,
    between_bytes_ms: u64,
    total_at: Option<tokio::time::Instant>,
) -> Result<Passed, Gone> {
    loop {
        let payload = source.payload();
        reading.read(payload, source.is_done());
        if source.is_done() {
            reading.settle(true).await;
            reply.end(client, &[source.payload()]).await?;
            return Ok(Passed { source: Some(source), ..Passed::default() });
        }
        let kept = usize::from(reply.keeps_last_byte() && !reading.are_events && !payload.is_empty());
        let used = payload.len() - kept;
        if used > 0 {
            reply.send(client, &[&payload[..used]]).await?;
        }
        source.consume(used);
        reading.ahead = kept;
        client.timer.set_at(timer::earlier(timer::after(between_bytes_ms), total_at));
        let more = match watch(client, std::pin::pin!(source.more())).await {
            Watched::Done(result) => result.map_err(|failure| failure.code),
            Watched::Gone => return Err(Gone),
            Watched::Late => Err(Code::UpstreamTimeout),
        };
        if let Err(code) = more {
            return Ok(Passed { outcome: Outcome::UpstreamCut, error: Some(code), broken: true, ..Passed::default() });
        }
    }
}
