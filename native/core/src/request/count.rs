//! Tokens counted for a client, without an upstream: `POST /v1/tokens/count`, and `/v1/messages/count_tokens` where none of
//! the model's providers could answer it.

mod body;

use std::{
    path::PathBuf,
    pin::pin,
    rc::Rc,
    sync::{Arc, OnceLock, atomic::AtomicBool},
};

use rustix::process::setpriority_process;
use serde_json::json;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

use super::{
    Said, Stop,
    admit::{Admission, Candidate},
    allowed::allow,
    asked::{MAX_DEPTH, admit, named, note},
    body::Content,
    call::Call,
    endpoint::Api,
    guard::Guard,
    plan::{Wanted, leads_past, unasked},
    relayed, respond,
    scan::scan_after,
};
use crate::{
    error::{Code, Error},
    http::conn::Message,
    observe::{Log, log::Field, record::Outcome},
    relay::{Watched, watch},
    tokens::{Encoding, Encodings, Measure},
};

/// A body up to this size is counted where it was read: the dearest text that was found takes 107 ns a byte, prose 7. A
/// longer one is counted on a thread of its own, so that others do not wait for it.
pub(super) const QUICK_BYTES: usize = 8 * 1024;

/// Of a thread that counts.
pub(super) const NICE: i32 = 10;

/// Says whether the number is exact, on paths whose answer has no room for it.
const SOURCE: &str = "x-penstock-token-source";

/// What counting needs of the process.
pub struct Counting {
    encodings: OnceLock<Encodings>,
    /// Long counts at a time; who finds none free waits in order, its body under the budget of bytes.
    turns: Arc<Semaphore>,
    /// Encodings whose table somebody has begun to read.
    pub(super) begun: [AtomicBool; Encoding::NAMES.len()],
}

impl Counting {
    /// Half as many long counts at a time as there are workers, as each takes a core.
    pub fn new(workers: usize) -> Self {
        let turns = Arc::new(Semaphore::new(workers.div_ceil(2).max(1)));
        Self { encodings: OnceLock::new(), turns, begun: Default::default() }
    }

    /// Where the tables are. They are read when they are needed.
    pub fn look_in(&self, directory: PathBuf) {
        self.encodings.get_or_init(|| Encodings::new(directory));
    }

    /// A turn for a long count.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        self.turns.clone().acquire_owned().await.ok()
    }

    pub(super) fn is_settled(&self, encoding: &str) -> bool {
        self.encodings.get().is_none_or(|all| all.is_settled(encoding))
    }

    pub(super) fn encoding(&self, name: &str, log: &Log) -> Option<&Encoding> {
        self.encodings.get()?.get(name, |directory, error| {
            let (directory, error) = (directory.display().to_string(), error.to_string());
            let fields: [(&str, &dyn Field); 3] = [("encoding", &name), ("directory", &directory), ("error", &error)];
            log.warn("a table of tokens cannot be used: its models' tokens are estimated until a restart", &fields);
        })
    }
}

/// Answers how many tokens a request has, or relays the question to a provider that can.
pub async fn serve(call: &mut Call<'_>, wanted: &Wanted<'_>, content: Content) -> Result<(), Stop> {
    if wanted.endpoint.api == Api::CountTokens && is_for_upstream(call, wanted, &content) {
        return relayed::serve(call, wanted, content).await;
    }
    let (guard, model, measured) = admitted(call, wanted, &content).await?;
    // From here on the request counts, as one that an upstream was sent.
    guard.sends();
    let Content { message, held: _held, .. } = content;
    let (api, measure) = (wanted.endpoint.api, Measure::of(&measured));
    let counted = counted(call, message, api, measured, measure).await;
    guard.settle(&Said::default());
    guard.note(call.record);
    call.guard = None;
    let counted = counted?;
    let source = if measure.is_exact && counted.is_all { "counted" } else { "estimated" };
    let body = match api {
        Api::CountTokens => json!({"input_tokens": counted.tokens}),
        _ => json!({
            "model": model,
            "tokens": counted.tokens,
            "encoding": counted.by_table.then_some(measure.encoding),
            "source": source,
        }),
    };
    answer(call, body.to_string().as_bytes(), source).await
}

/// Whether the question goes the usual way: a target can answer it, or it cannot be understood here.
fn is_for_upstream(call: &Call<'_>, wanted: &Wanted<'_>, content: &Content) -> bool {
    let Some(ahead) = &content.json else { return true };
    let Ok(scan) = scan_after(ahead, content.message.payload(), MAX_DEPTH) else { return true };
    !scan.model.is_some_and(|model| leads_past(&call.snapshot, &model.text, wanted.endpoint))
}

/// Finds the model and lets the request in by the limits that it meets. The model as it was asked for, and as it is
/// measured.
async fn admitted(
    call: &mut Call<'_>,
    wanted: &Wanted<'_>,
    content: &Content,
) -> Result<(Rc<Guard>, String, String), Stop> {
    let snapshot = call.snapshot.clone();
    let Wanted { endpoint, principal, .. } = *wanted;
    let body = content.message.payload();
    let ahead = content.json.as_ref();
    let scan = ahead.map(|ahead| scan_after(ahead, body, MAX_DEPTH)).transpose()?.unwrap_or_default();
    let model = named(&scan, endpoint)?.unwrap_or_default();
    note(call.record, Some(model), ahead.is_some().then_some(&scan), body);
    allow(principal, endpoint, Some(model))?;
    let (mut plan, measured) = unasked(&snapshot, model, principal)?;
    let candidate = Candidate { principal, endpoint, body, scan: Some(&scan), form_prompt: None, model: Some(model) };
    let admission = Admission::new(call.worker, &snapshot, &mut plan, &candidate)?;
    let (guard, _) = admit(call, &admission, principal, content.read_us).await?;
    Ok((guard, model.to_owned(), measured.to_owned()))
}

/// A number of tokens.
struct Counted {
    tokens: u64,
    /// Not guessed from bytes.
    by_table: bool,
    /// Nor was anything passed over.
    is_all: bool,
}

/// Counts here if that is quick, else on a thread that may take its time.
async fn counted(
    call: &mut Call<'_>,
    message: Message,
    api: Api,
    model: String,
    measure: Measure,
) -> Result<Counted, Stop> {
    let shared = call.worker.shared.clone();
    let count = move |body: &[u8]| -> Result<Counted, Error> {
        let encoding = shared.counting.encoding(measure.encoding, &shared.log);
        let (tokens, is_all) = body::count(body, api, &model, measure, encoding)?;
        Ok(Counted { tokens, by_table: encoding.is_some(), is_all })
    };
    let counting = &call.worker.shared.counting;
    if message.payload().len() <= QUICK_BYTES && counting.is_settled(measure.encoding) {
        return Ok(count(message.payload())?);
    }
    let turn = counting.turns.clone().acquire_owned();
    call.client.timer.set_at(None);
    let turn = match watch(call.client, pin!(turn)).await {
        Watched::Done(turn) => turn,
        Watched::Gone | Watched::Late => return Err(Stop::Gone),
    };
    let (bytes, payload) = message.into_bytes();
    // Not watched: the memory is held, and accounted for, until the thread is done.
    let done = spawn_blocking(move || {
        let _turn = turn;
        // Who moves bytes goes first. It stays so for this thread, whose other work, looking up names, mostly waits.
        let _ = setpriority_process(None, NICE);
        count(&bytes[payload])
    });
    match done.await {
        Ok(counted) => Ok(counted?),
        Err(_) => Err(Error::new(Code::Internal, "Counting the tokens failed.").into()),
    }
}

async fn answer(call: &mut Call<'_>, body: &[u8], source: &str) -> Result<(), Stop> {
    let overhead_us = call.overhead_us();
    call.reply.status(200);
    call.reply.field("content-type", b"application/json");
    respond::ids(&mut call.reply, call.dialect, &call.request_id);
    call.reply.field(SOURCE, source.as_bytes());
    call.reply.number("x-penstock-overhead-us", overhead_us);
    call.told.write(&mut call.reply, call.dialect, || call.worker.clock().utc_us());
    call.close_if_draining();
    call.reply.begin(Some(body.len() as u64));
    call.record.overhead_us = Some(overhead_us);
    call.record.status = Some(200);
    call.record.outcome = Outcome::Complete;
    Ok(call.reply.end(call.client, &[body]).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Clock, observe::LogOptions};

    #[test]
    fn a_table_that_is_missing_is_told_of_once() {
        let log = Log::in_memory(LogOptions::default(), Clock::System);
        let counting = Counting::new(1);
        counting.look_in("/no/such/directory".into());
        assert!(!counting.is_settled("o200k_base"));
        for _ in 0..3 {
            assert!(counting.encoding("o200k_base", &log).is_none());
        }
        assert!(counting.is_settled("o200k_base") && !counting.is_settled("cl100k_base"));
        let lines = log.kept();
        assert_eq!(lines.lines().count(), 1, "{lines}");
        assert!(lines.contains("/no/such/directory") && lines.contains("No such file"), "{lines}");
    }
}
