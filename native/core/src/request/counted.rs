//! What an answer used where nobody says so: counted from the text that passed and from the prompt, if that was kept.

use std::{sync::Arc, time::Duration};

use rustix::process::setpriority_process;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{task::spawn_blocking, time::timeout};

use super::{
    count::{Counting, NICE, QUICK_BYTES},
    endpoint::Api,
    estimate::{Answers, Prompt, answers_in_tokens, is_paid},
    guard::{Guard, Said},
    read::Held,
    scan::Scan,
};
use crate::{
    dialects::usage::{Tier, Usage},
    http::conn::Message,
    limits::Reserve,
    observe::record::Source,
    relay::text::Text,
    tokens::{self, Detail, Encoding, Measure, approximate, each, measure_chat, picture_tokens},
};

/// A longer prompt is not kept while its answer passes.
const KEPT_BYTES: usize = 32 * 1024;
/// How long the end of an answer waits for others that count.
const TURN: Duration = Duration::from_millis(20);

/// What is known of a request's prompt while its answer passes.
pub struct Asks {
    api: Api,
    /// Alternatives that are asked for: their text comes mixed.
    choices: u64,
    prompt: Kept,
    /// The answer comes by another request.
    is_background: bool,
    /// Its answer does not tell what the prompt took, or has not yet.
    needs_prompt: bool,
    /// What the request itself says that is paid for.
    known: Option<Usage>,
    /// Its answer costs something, whether or not it says what was used.
    costs: bool,
}

enum Kept {
    Nothing,
    /// What is small as it came; with the memory that is accounted for.
    Message {
        message: Message,
        _held: Held,
    },
    Copy {
        body: Arc<[u8]>,
        _held: Held,
    },
    /// Tokens, about.
    About(u64),
}

/// What an answer says itself.
#[derive(Clone, Copy, Debug)]
pub struct Stated {
    /// Of one that stops in the middle that may be less than what was there.
    pub usage: Option<Usage>,
    /// How it was served.
    pub tier: Option<Tier>,
    /// Nothing was written since.
    pub is_current: bool,
}

/// The fields of a request without messages that hold its prompt, and what else goes into it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Prompts<'a> {
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    instructions: Option<&'a RawValue>,
    #[serde(borrow)]
    system: Option<&'a RawValue>,
    #[serde(borrow)]
    suffix: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    /// What the provider keeps, or is no text.
    #[serde(borrow)]
    previous_response_id: Option<&'a RawValue>,
    #[serde(borrow)]
    conversation: Option<&'a RawValue>,
    #[serde(borrow)]
    context: Option<&'a RawValue>,
    #[serde(borrow)]
    images: Option<&'a RawValue>,
}

impl Prompts<'_> {
    /// Whether there is more to the prompt than its texts.
    fn has_more(&self) -> bool {
        let more = [self.tools, self.previous_response_id, self.conversation, self.context, self.images];
        more.into_iter().flatten().any(|value| !matches!(value.get(), "null" | "[]"))
    }
}

impl Asks {
    /// Of a request whose answer is not counted. `is_good`: the answer is no refusal.
    pub fn nothing(api: Api, is_good: bool) -> Self {
        let costs = is_good && is_paid(api) && !answers_in_tokens(api);
        Self { api, choices: 1, prompt: Kept::Nothing, is_background: false, needs_prompt: false, known: None, costs }
    }

    /// Of a text to be spoken, where its characters are what is paid for.
    pub fn spoken(body: &[u8]) -> Self {
        Self { known: characters(body), ..Self::nothing(Api::Speech, true) }
    }

    /// Of a request whose answer is counted. `is_told`: it has stated what the prompt took.
    pub fn of(api: Api, scan: &Scan<'_>, is_told: bool) -> Self {
        let choices = Answers::of(api, Some(scan), None).count;
        let is_background = scan.background && api == Api::Responses;
        Self { choices, is_background, needs_prompt: !is_told, ..Self::nothing(api, true) }
    }

    /// Keeps the prompt of the request while its answer passes, or what can be said of it; a stream may take long, and
    /// keeps no more than the prompt itself. `held`: the memory of the body, which is given back unless it is kept.
    pub fn keep(&mut self, message: Message, is_stream: bool, held: Held) {
        let body = message.payload();
        if !self.needs_prompt {
            return;
        }
        self.prompt = if body.len() > KEPT_BYTES || !held.may_stay() {
            Kept::About(Prompt::of_json(body).tokens(Reserve::Expected))
        } else if is_stream || !message.is_small() {
            Kept::Copy { body: body.into(), _held: held }
        } else {
            Kept::Message { message, _held: held }
        };
    }

    /// All that is paid for, where that is known before the answer.
    pub fn known(&self) -> Option<Usage> {
        self.known
    }

    /// Whether the answer costs something, though it may not say what was used.
    pub fn costs(&self) -> bool {
        self.costs
    }
}

/// Tokens of the prompt in a body, and whether they are as exact as the encoding.
fn prompt_tokens(api: Api, body: &[u8], model: &str, measure: Measure, encoding: Option<&Encoding>) -> (u64, bool) {
    let counted = encoding.and_then(|encoding| match api {
        Api::Chat | Api::Messages | Api::OllamaChat => measure_chat(encoding, model, body).ok(),
        _ => texts(encoding, model, body).map(|texts| {
            let tokens = approximate(measure, texts.tokens).saturating_add(texts.pictures);
            (tokens, texts.are_all && api != Api::Responses)
        }),
    });
    counted.unwrap_or_else(|| (Prompt::of_json(body).tokens(Reserve::Expected), false))
}

/// The characters of a text to be spoken, as Unicode counts them.
fn characters(body: &[u8]) -> Option<Usage> {
    let Prompts { input, .. } = serde_json::from_slice(body).ok()?;
    let text = tokens::text(input?)?;
    let begins = |byte: &&u8| **byte & 0xc0 != 0x80;
    Some(Usage { input_characters: text.iter().filter(begins).count() as u64, ..Usage::default() })
}

/// Of a prompt that is text, or a list of texts.
struct Texts {
    /// Of these, and of its tools as they stand there.
    tokens: u64,
    pictures: u64,
    /// There is nothing else to it.
    are_all: bool,
}

/// `None`: it is something else.
fn texts(encoding: &Encoding, model: &str, body: &[u8]) -> Option<Texts> {
    let prompts: Prompts<'_> = serde_json::from_slice(body).ok()?;
    let are_all = !prompts.has_more();
    let Prompts { prompt, input, instructions, system, suffix, tools, images, .. } = prompts;
    let mut sum = Some(0);
    let mut one = |value: &RawValue| {
        let tokens = tokens::text(value).map(|text| tokens::count(encoding, &text));
        sum = sum.and_then(|sum: u64| Some(sum + tokens?));
    };
    for value in [prompt, input, instructions, system, suffix].into_iter().flatten() {
        match value.get().as_bytes() {
            b"null" => {}
            [b'[', ..] => each(value, &mut one),
            _ => one(value),
        }
    }
    let tools = tools.map_or(0, |tools| tokens::count(encoding, tools.get().as_bytes()));
    let mut pictures: u64 = 0;
    if let Some(images) = images {
        each(images, |image| {
            let picture = tokens::text(image).unwrap_or_default();
            pictures = pictures.saturating_add(picture_tokens(model, &picture, Detail::Auto).0);
        });
    }
    sum.map(|sum| Texts { tokens: sum + tools, pictures, are_all })
}

impl Guard {
    /// What an answer used, told or counted.
    pub async fn said(
        &self,
        stated: Stated,
        text: Option<&mut Text>,
        asks: &Asks,
        model: &str,
        is_whole: bool,
    ) -> Said {
        let Stated { usage, tier, is_current } = stated;
        let stated = usage.filter(|usage| !usage.is_nothing());
        let has_prompt = |usage: Usage| usage.prompt_tokens > 0 || matches!(asks.prompt, Kept::Nothing);
        let is_told = (is_whole || is_current) && stated.is_some_and(has_prompt);
        let is_known = self.is_settled() || asks.is_background || is_told;
        if let (None, Some(known)) = (stated, asks.known) {
            return Said { usage: Some(known), source: Source::Counted, is_whole };
        }
        let Some(text) = text.filter(|_| !is_known) else {
            return Said { usage: stated, source: Source::Provider, is_whole };
        };
        if !is_whole {
            self.free_slots();
        }
        Box::pin(self.counted((stated, tier), text, asks, model, is_whole)).await
    }

    async fn counted(
        &self,
        (stated, tier): (Option<Usage>, Option<Tier>),
        text: &mut Text,
        asks: &Asks,
        model: &str,
        is_whole: bool,
    ) -> Said {
        let shared = &self.worker().shared;
        let measure = Measure::of(model);
        let needs_prompt = stated.is_none_or(|usage| usage.prompt_tokens == 0);
        if !shared.counting.is_settled(measure.encoding) {
            let shared = shared.clone();
            let _ = spawn_blocking(move || shared.counting.encoding(measure.encoding, &shared.log).is_some()).await;
        }
        let encoding = shared.counting.encoding(measure.encoding, &shared.log);
        let (written, is_text) = text.tally().end(encoding);
        let written = if encoding.is_some() { approximate(measure, written) } else { written };
        let (prompt, is_prompt) = match (stated, &asks.prompt) {
            (Some(usage), _) if !needs_prompt => (usage.prompt_tokens, true),
            (_, Kept::Nothing) => (0, false),
            (_, Kept::About(tokens)) => (*tokens, false),
            (_, Kept::Message { message, .. }) => prompt_tokens(asks.api, message.payload(), model, measure, encoding),
            (_, Kept::Copy { body, .. }) if body.len() <= QUICK_BYTES => {
                prompt_tokens(asks.api, body, model, measure, encoding)
            }
            (_, Kept::Copy { body, .. }) => self.prompt_elsewhere(asks.api, body, model, measure).await,
        };
        let told = stated.unwrap_or(Usage { tier, ..Usage::default() });
        let told_written = told.completion_tokens;
        let written = if is_whole && told_written > 0 { told_written } else { written.max(told_written) };
        let usage = Usage { prompt_tokens: prompt, completion_tokens: written, ..told };
        let is_exact = measure.is_exact
            && !measure.thinks_unseen
            && encoding.is_some()
            && is_text
            && is_prompt
            && asks.choices <= 1;
        let source = match stated {
            Some(stated) if stated == usage && is_whole => Source::Provider,
            // Its own number, which may be of less than what there was.
            Some(stated) if stated == usage => Source::Estimated,
            _ if is_exact => Source::Counted,
            _ => Source::Estimated,
        };
        Said { usage: Some(usage), source, is_whole }
    }

    /// The tokens of a long prompt, counted on a thread that may take its time.
    async fn prompt_elsewhere(&self, api: Api, body: &Arc<[u8]>, model: &str, measure: Measure) -> (u64, bool) {
        let (shared, model) = (self.worker().shared.clone(), model.to_owned());
        // The answer waits for this: where others count long texts, a guess must do.
        let Ok(turn) = timeout(TURN, shared.counting.turn()).await else {
            return prompt_tokens(api, body, &model, measure, None);
        };
        let body = body.clone();
        let counted = spawn_blocking(move || {
            let _turn = turn;
            let _ = setpriority_process(None, NICE);
            let encoding = shared.counting.encoding(measure.encoding, &shared.log);
            prompt_tokens(api, &body, &model, measure, encoding)
        });
        counted.await.unwrap_or((0, false))
    }

    /// Counts what there is of a text that has become long, once its encoding is at hand.
    pub fn count_on(&self, text: &mut Text, model: &str) {
        let shared = &self.worker().shared;
        let name = Measure::of(model).encoding;
        if shared.counting.is_settled(name) {
            text.tally().count(shared.counting.encoding(name, &shared.log));
        } else if text.tally().is_overdue() {
            text.tally().count(None);
        } else if shared.counting.begins(name) {
            let shared = shared.clone();
            drop(spawn_blocking(move || shared.counting.encoding(name, &shared.log).is_some()));
        }
    }
}

impl Counting {
    /// Whether nobody has begun to read the table of an encoding before.
    fn begins(&self, name: &str) -> bool {
        let place = usize::from(name != Encoding::NAMES[0]);
        !self.begun[place].swap(true, std::sync::atomic::Ordering::Relaxed)
    }
}
