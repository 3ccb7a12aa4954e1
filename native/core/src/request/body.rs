//! The client's body: in memory where routing and retries need it, flowing where it is too large or not ours to read.

use super::{
    Principal, Reply, Stop,
    call::Call,
    endpoint::{Api, Endpoint, Form},
    estimate::{Prompt, answers_in_tokens},
    facts::Facts,
    multipart::{self, Found},
    read::{Held, check_length, read_body_until},
    scan::{Ahead, UNBOUNDED},
};
use crate::{
    error::{Code, Error},
    http::conn::Message,
};

/// A form is kept whole, for retries, up to this size; a larger one flows once its model is known, unless only some may be
/// asked for: then what comes later must not name another.
const FORM_BYTES: usize = 64 * 1024;

/// JSON of this size and more is looked at while it arrives.
const AHEAD_BYTES: usize = 16 * 1024;

/// A request body on its way.
pub struct Content {
    /// Head and body, or the body's beginning.
    pub message: Message,
    /// The rest is still to come.
    pub flows: bool,
    pub form: Option<FormField>,
    /// What a form holds as far as it has come.
    pub form_prompt: Option<Prompt>,
    /// What is known already of a body that is to be read as JSON.
    pub json: Option<Ahead>,
    /// Memory held for it.
    pub held: Held,
    /// When it was read, microseconds since boot.
    pub read_us: u64,
}

/// The model as a multipart form names it.
pub struct FormField {
    pub model: String,
    pub span: std::ops::Range<usize>,
}

/// Reads as much of the body as must be known before a target is chosen.
pub async fn read(
    call: &mut Call<'_>,
    endpoint: &Endpoint<'_>,
    facts: &Facts,
    principal: &Principal,
) -> Result<Content, Stop> {
    let max = call.snapshot.max_body_bytes;
    let content_type = facts.content_type.map(|s| s.of(call.client.conn.head())).unwrap_or_default();
    let form_type = essence_is(content_type, "multipart/form-data").then(|| content_type.to_vec());
    let is_form = form_type.is_some();
    let may_flow = is_form && !principal.is_bound_to_models();
    if endpoint.form == Form::Model && !may_flow {
        check_length(call.client, max)?;
    }
    if call.head.expect_continue && !call.client.conn.has_more() {
        Reply::go_ahead(call.client).await?;
    }
    let mut held = Held::new(call.worker);
    let waits_from_us = (!call.client.conn.has_whole_body()).then(|| call.worker.clock().boot_us());
    let (mut form, mut json, mut form_prompt) = (None, None, None);
    match endpoint.form {
        Form::Model if is_form && (answers_in_tokens(endpoint.api) || endpoint.api == Api::Tokens) => {
            let message = "This path takes JSON, not a multipart form.";
            return Err(Error::new(Code::InvalidRequest, message).at("content-type").into());
        }
        Form::Model if is_form => {
            let mut reader = multipart::Form::new(&form_type.unwrap_or_default())?;
            let mut found = None;
            read_body_until(call.client, Some(&call.snapshot), max, &mut held, |prefix| {
                match reader.find_model(prefix)? {
                    Found::Model { model, span } => found = Some(FormField { model, span }),
                    Found::Absent => return Ok(true),
                    Found::NeedMore => {}
                }
                Ok(may_flow && found.is_some() && prefix.len() >= FORM_BYTES)
            })
            .await?;
            if found.is_none() && endpoint.needs_model() {
                let message = "The form has no field named model, which says who is to answer.";
                return Err(Error::new(Code::InvalidRequest, message).at("model").into());
            }
            form = found;
            form_prompt = Some(reader.prompt(call.client.conn.payload().len()));
        }
        Form::Model => {
            let ahead = json.insert(Ahead::default());
            read_body_until(call.client, Some(&call.snapshot), max, &mut held, |prefix| {
                if prefix.len() >= AHEAD_BYTES {
                    ahead.feed(prefix);
                }
                Ok(false)
            })
            .await?;
        }
        Form::Opaque | Form::None => {
            read_body_until(call.client, Some(&call.snapshot), max, &mut held, |prefix| Ok(prefix.len() >= FORM_BYTES))
                .await?;
        }
    }
    let conn = &mut call.client.conn;
    call.record.received_bytes += conn.payload().len() as u64;
    let flows = !conn.body_done();
    if let Some(prompt) = form_prompt.as_mut().filter(|_| flows) {
        prompt.bytes_to_come = conn.body_remaining().unwrap_or(UNBOUNDED);
    }
    let message = if flows { conn.split_message() } else { conn.take_message() };
    let read_us = call.worker.clock().boot_us();
    let waited_us = waits_from_us.map_or(0, |from_us| read_us - from_us);
    call.record.phases.body_wait_us = waited_us;
    call.waited_us += waited_us;
    Ok(Content { message, flows, form, form_prompt, json, held, read_us })
}

fn essence_is(content_type: &[u8], name: &str) -> bool {
    let essence = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    essence.eq_ignore_ascii_case(name.as_bytes())
}
