//! One finished request: what was asked, where it went, how long each phase took and how it ended.

use std::net::IpAddr;

use super::Provider;
use crate::{
    content::Content,
    dialects::{Dialect, usage::Usage},
    error::Code,
    keys::Tagged,
    limits::{Counted, Met},
};

/// Takes the record of each finished request, exactly once, on the worker's thread; must not wait.
pub trait Consumer {
    fn record(&self, record: &Record);
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// The client has all of it, an error answer of Penstock's own included.
    Complete,
    /// The upstream ended before its answer did.
    UpstreamCut,
    /// The client left first.
    ClientGone,
    /// Penstock could not finish it.
    #[default]
    Failed,
}

impl Outcome {
    pub const ALL: [Self; 4] = [Self::Complete, Self::UpstreamCut, Self::ClientGone, Self::Failed];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::UpstreamCut => "upstream_cut",
            Self::ClientGone => "client_gone",
            Self::Failed => "failed",
        }
    }
}

/// Where the numbers of a usage come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// The provider states them.
    #[default]
    Provider,
    /// Counted here, by the model's own encoding.
    Counted,
    /// Counted or guessed here.
    Estimated,
}

impl Source {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Counted => "counted",
            Self::Estimated => "estimated",
        }
    }
}

/// What stands for the error of an attempt that was [`AttemptResult::GivenUp`].
pub(super) const GIVEN_UP: &str = "given_up";

/// What one attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptResult {
    /// The upstream answered with this status.
    Status(u16),
    /// It did not answer.
    Failed(Code),
    /// It was not asked: a limit of the provider is reached.
    Skipped(Code),
    /// It had not answered when the request ended otherwise: its client left, was cut, or sent a body that is none.
    GivenUp,
}

/// One try at one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    pub provider: Provider,
    /// The upstream's name of the model; empty where the path has none.
    pub model: String,
    pub result: AttemptResult,
    /// From choosing the target to the head of its answer or its failure.
    pub us: u64,
}

/// Time spent by phase, in microseconds; `None` where a request never got that far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// First byte of the head to its end.
    pub head_us: u64,
    /// Waiting for the rest of the client's body.
    pub body_wait_us: u64,
    /// Scan, route and admission.
    pub route_us: Option<u64>,
    /// Waiting for leases of limits that nodes share, here and at providers; `None`: it never waited.
    pub lease_us: Option<u64>,
    /// Taking or making the connection of the attempt that answered.
    pub connect_us: Option<u64>,
    /// Request sent to the head of the answer.
    pub first_byte_us: Option<u64>,
    /// First byte of the head to the end of the answer.
    pub total_us: u64,
    /// First byte of the head to when its limits counted it.
    pub admitted_us: Option<u64>,
}

/// Facts about a streamed answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamFacts {
    /// First byte of the request to the first model frame.
    pub first_token_us: Option<u64>,
    pub frames: u64,
    /// The longest silence of the upstream after its first frame.
    pub longest_gap_us: u64,
}

/// One finished request. Text fields are empty where there is nothing to say; `clear` keeps their storage, so that a
/// connection can use one record for all of its requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Its place among the requests of this instance that reached authentication, from 1; 0: it did not.
    pub number: u64,
    pub request_id: String,
    pub upstream_request_id: String,
    /// 32 hexadecimal digits of the `traceparent`.
    pub trace_id: String,
    /// `None` for paths that belong to no dialect.
    pub dialect: Option<Dialect>,
    /// What was called: `chat`, `messages`, `embeddings` …
    pub api: &'static str,
    pub method: String,
    pub path: String,
    /// `None` on a Unix socket without a trusted `X-Forwarded-For`.
    pub client: Option<IpAddr>,
    /// Whom the client says it asks for. Not for the log.
    pub end_user: String,
    pub started_utc_us: u64,
    pub admitted_boottime_us: Option<u64>,
    /// How long it waited for a slot of a limit, if it did.
    pub queued_us: Option<u64>,
    pub phases: Phases,
    /// First byte in to first byte out, less the waits for the client's body and the upstream.
    pub overhead_us: Option<u64>,
    /// The id of the key that asked.
    pub key_id: String,
    /// The id of its team.
    pub team: String,
    /// The name the client asked for.
    pub model: String,
    /// `provider/model` that answered.
    pub target: String,
    pub attempts: Vec<AttemptRecord>,
    /// `None`: the client left before an answer began.
    pub status: Option<u16>,
    pub outcome: Outcome,
    pub error: Option<Code>,
    pub usage: Option<Usage>,
    pub usage_source: Source,
    /// What the usage costs by the configured price; `None`: one of the two is not known.
    pub cost_nanousd: Option<u64>,
    /// It costs something, and how much nobody knows.
    pub is_unpriced: bool,
    /// What its limits of tokens and money were charged, where they hold.
    pub charged_tokens: Option<u64>,
    pub charged_nanousd: Option<u64>,
    pub stream: Option<StreamFacts>,
    /// Bytes of the request, head and body.
    pub received_bytes: u64,
    /// Bytes of the answer, head and body.
    pub sent_bytes: u64,
    /// Of the key and its team.
    pub tags: Tagged,
    /// Those that counted it.
    pub limits: Met,
    /// Its texts, where they are recorded. Not for the log.
    pub content: Option<Box<Content>>,
    /// Where it is counted for longer than this process may live. Not for the log.
    pub counted: Counted,
}

/// Storage of a text that is worth keeping for the next request.
const KEPT_BYTES: usize = 1024;

impl Record {
    /// The attempts that asked somebody, or were about to.
    pub fn tried(&self) -> impl Iterator<Item = &AttemptRecord> {
        self.attempts.iter().filter(|attempt| !matches!(attempt.result, AttemptResult::Skipped(_)))
    }

    /// Empties every field, in its place, and keeps the storage of the texts.
    pub fn clear(&mut self) {
        let Self {
            number,
            request_id,
            upstream_request_id,
            trace_id,
            dialect,
            api,
            method,
            path,
            client,
            end_user,
            started_utc_us,
            admitted_boottime_us,
            queued_us,
            phases,
            overhead_us,
            key_id,
            team,
            model,
            target,
            attempts,
            status,
            outcome,
            error,
            usage,
            usage_source,
            cost_nanousd,
            is_unpriced,
            charged_tokens,
            charged_nanousd,
            stream,
            received_bytes,
            sent_bytes,
            tags,
            limits,
            content,
            counted,
        } = self;
        for text in [request_id, upstream_request_id, trace_id, method, path, end_user, key_id, team, model, target] {
            text.clear();
            text.shrink_to(KEPT_BYTES);
        }
        attempts.clear();
        for count in [number, started_utc_us, received_bytes, sent_bytes] {
            *count = 0;
        }
        for known in [admitted_boottime_us, queued_us, overhead_us, cost_nanousd, charged_tokens, charged_nanousd] {
            *known = None;
        }
        (*dialect, *api, *client, *phases) = (None, "", None, Phases::default());
        (*status, *outcome, *error, *stream) = (None, Outcome::default(), None, None);
        (*usage, *usage_source, *is_unpriced, *content) = (None, Source::default(), false, None);
        (*tags, *limits, *counted) = (Tagged::default(), Met::default(), Counted::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cleared_record_is_a_new_one_with_the_old_storage() {
        let mut record = Record { model: "m".repeat(100), status: Some(200), ..Record::default() };
        record.clear();
        assert_eq!(record, Record::default());
        assert!(record.model.capacity() >= 100);
    }
}
