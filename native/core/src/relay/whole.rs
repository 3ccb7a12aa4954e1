//! Passes an unstreamed answer on as it comes, and reads its usage on the way.

use super::{Passed, Watched, source::Source, watch};
use crate::{
    dialects::usage::BodyTap,
    error::Code,
    observe::record::Outcome,
    request::{Gone, Reply},
    server::{connection::Client, timer},
};

/// Passes the body on until it ends, is cut, or the client leaves.
pub async fn pass(
    client: &mut Client,
    reply: &mut Reply,
    source: &mut Source,
    tap: &mut Option<BodyTap>,
    between_bytes_ms: u64,
    total_at: Option<tokio::time::Instant>,
) -> Result<Passed, Gone> {
    loop {
        let payload = source.payload();
        if let Some(tap) = tap {
            tap.feed(payload);
        }
        if source.is_done() {
            reply.end(client, &[payload]).await?;
            return Ok(Passed::default());
        }
        if !payload.is_empty() {
            reply.send(client, &[payload]).await?;
        }
        let used = payload.len();
        source.consume(used);
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
