//! The few places of an answer's JSON that the taps read, for all dialects at once.

use super::{
    StreamKind, anthropic,
    counts::{Count, Counts},
    usage::{Served, Tier},
};
use crate::json::{Scalar, Sink};

/// An error that an upstream stated inside an answer with status 200.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamError {
    /// The HTTP status it would have had, where it can be told.
    pub status: Option<u16>,
    pub message: String,
    /// The upstream's `type`, else its `code`.
    pub kind: Option<String>,
}

/// Whose objects are read: the same name means different things to different endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Chat,
    Responses,
    Messages,
    Ollama,
    /// Whole bodies of `OpenAI` and Anthropic, and streams without an end mark.
    Other,
}

impl From<StreamKind> for Shape {
    fn from(kind: StreamKind) -> Self {
        match kind {
            StreamKind::Chat | StreamKind::Completions => Self::Chat,
            StreamKind::Responses => Self::Responses,
            StreamKind::OtherSse => Self::Other,
            StreamKind::Messages => Self::Messages,
            StreamKind::OllamaChat | StreamKind::OllamaGenerate => Self::Ollama,
        }
    }
}

/// Where in the JSON a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Nowhere,
    /// The outermost value: an object, or a list of them (Gemini wraps its errors so).
    Body,
    /// An object in that list.
    Item,
    Choices,
    Choice,
    /// A list of what a whole body answers, and one of it.
    Parts,
    Part,
    Usage,
    /// One of the four `…_tokens_details`, what is in them, or `cache_creation`.
    Details(Details),
    /// `usage` in an element of `choices`.
    ChoicesUsage,
    /// Anthropic's list of what a usage is made of, one of it, and its `cache_creation`.
    Iterations,
    Iteration,
    IterationCache,
    Iterated(Count),
    Error,
    ErrorElement,
    Response,
    Incomplete,
    Delta,
    Message,
    Count(Count),
    Text(TextField),
    Done,
}

/// The objects that break tokens down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Details {
    Prompt,
    Input,
    InputWritten,
    Completion,
    Output,
    CacheCreation,
}

/// Texts that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextField {
    Type,
    Object,
    Finish,
    ErrorMessage,
    ErrorType,
    ErrorCode,
    FlatMessage,
    FlatCode,
    Tier,
    Speed,
    /// The `type` of an iteration.
    Iteration,
}

/// A short text without allocation; what is too long is cut off.
#[derive(Clone, Copy, Debug)]
pub struct Short {
    len: u8,
    bytes: [u8; 62],
}

impl Default for Short {
    fn default() -> Self {
        Self { len: 0, bytes: [0; 62] }
    }
}

impl Short {
    pub fn set(&mut self, text: &[u8]) {
        let len = text.len().min(self.bytes.len());
        self.bytes[..len].copy_from_slice(&text[..len]);
        self.len = len as u8;
    }

    pub fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(usize::from(self.len)) {
            *slot = byte;
            self.len += 1;
        }
    }

    pub fn clear(&mut self) {
        self.len = 0;
    }

    pub fn get(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// What was found in one document.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug)]
pub struct Fields {
    shape: Shape,
    pub counts: Counts,
    /// `usage` is there and an object.
    pub has_usage: bool,
    /// It is that of a choice.
    is_choices_usage: bool,
    /// `choices` has an element.
    pub has_choices: bool,
    /// What a whole body answers has an element.
    pub has_parts: bool,
    pub done: bool,
    /// `type`.
    pub kind: Short,
    /// `finish_reason`, `stop_reason`, `done_reason` or the reason of an incomplete response.
    pub finish: Short,
    /// How many of them: each choice has its own.
    pub finishes: u64,
    /// `service_tier`, of the document or its usage, and `speed`.
    pub served: Served,
    /// `object` is `"error"`.
    object_is_error: bool,
    error_is_truthy: bool,
    error: ErrorTexts,
}

#[derive(Clone, Debug, Default)]
struct ErrorTexts {
    message: String,
    kind: String,
    code: String,
    flat_message: String,
    flat_code: String,
}

impl Fields {
    pub fn new(shape: Shape) -> Self {
        Self {
            shape,
            counts: Counts::default(),
            has_usage: false,
            is_choices_usage: false,
            has_choices: false,
            has_parts: false,
            done: false,
            kind: Short::default(),
            finish: Short::default(),
            finishes: 0,
            served: Served::default(),
            object_is_error: false,
            error_is_truthy: false,
            error: ErrorTexts::default(),
        }
    }

    /// Forgets the document before.
    #[inline]
    pub fn restart(&mut self) {
        self.counts.clear();
        self.has_usage = false;
        self.is_choices_usage = false;
        self.has_choices = false;
        self.has_parts = false;
        self.done = false;
        self.kind.clear();
        self.finish.clear();
        self.finishes = 0;
        self.served = Served::default();
        self.object_is_error = false;
        if self.error_is_truthy || !self.error.flat_message.is_empty() || !self.error.flat_code.is_empty() {
            self.error = ErrorTexts::default();
        }
        self.error_is_truthy = false;
    }

    /// An `error` that SDKs raise on.
    pub fn nested_error(&self) -> Option<UpstreamError> {
        self.error_is_truthy.then(|| stated(&self.error.message, &self.error.kind, &self.error.code))
    }

    /// An error whose fields stand in the outer object.
    pub fn flat_error(&self) -> Option<UpstreamError> {
        let says_so = self.object_is_error || self.kind.get() == b"error";
        (says_so && !self.has_choices).then(|| self.flat_texts())
    }

    /// `message`, `type` and `code` of the outer object as an error.
    pub fn flat_texts(&self) -> UpstreamError {
        let kind = match self.kind.get() {
            b"error" => "",
            other => std::str::from_utf8(other).unwrap_or(""),
        };
        stated(&self.error.flat_message, kind, &self.error.flat_code)
    }

    /// The error of a failed response, whatever it holds.
    pub fn response_error(&self) -> UpstreamError {
        stated(&self.error.message, &self.error.kind, &self.error.code)
    }

    fn top_member(&self, name: &[u8]) -> Place {
        use TextField as T;
        match (name, self.shape) {
            (b"error", _) => Place::Error,
            (b"type", _) => Place::Text(T::Type),
            (b"object", _) => Place::Text(T::Object),
            (b"code", _) => Place::Text(T::FlatCode),
            (b"service_tier", shape) if shape != Shape::Ollama => Place::Text(T::Tier),
            (b"choices", Shape::Chat) => Place::Choices,
            (b"choices" | b"output" | b"content" | b"data", Shape::Other) => Place::Parts,
            (b"response", Shape::Responses) => Place::Response,
            (b"delta", Shape::Messages) => Place::Delta,
            (b"message", Shape::Messages) => Place::Message,
            (b"message", _) => Place::Text(T::FlatMessage),
            (b"done", Shape::Ollama) => Place::Done,
            (b"done_reason", Shape::Ollama) | (b"stop_reason", Shape::Other) => Place::Text(T::Finish),
            (b"prompt_eval_count", Shape::Ollama) => Place::Count(Count::PromptEval),
            (b"eval_count", Shape::Ollama) => Place::Count(Count::Eval),
            (b"usage", shape) if shape != Shape::Ollama => Place::Usage,
            _ => Place::Nowhere,
        }
    }

    fn set_text(&mut self, field: TextField, value: Scalar<'_>) {
        let code;
        let text = match value.text() {
            Some(text) => text,
            // Some vendors' codes are numbers.
            None if matches!(field, TextField::ErrorCode | TextField::FlatCode) => {
                code = value.count().map_or_else(String::new, |n| n.to_string());
                code.into_bytes().into()
            }
            None => return,
        };
        let lossy = || String::from_utf8_lossy(&text).into_owned();
        match field {
            TextField::Type => self.kind.set(&text),
            TextField::Tier => self.served.tier = Some(Tier::of(&text)),
            TextField::Speed => self.served.is_fast = Some(*text == *b"fast"),
            TextField::Iteration => self.counts.set_iteration(&text),
            TextField::Object => self.object_is_error = *text == *b"error",
            // An empty one says nothing.
            TextField::Finish if !text.is_empty() => {
                self.finish.set(&text);
                self.finishes += 1;
            }
            TextField::Finish => {}
            TextField::ErrorMessage => self.error.message = lossy(),
            TextField::ErrorType => self.error.kind = lossy(),
            TextField::ErrorCode => self.error.code = lossy(),
            TextField::FlatMessage => self.error.flat_message = lossy(),
            TextField::FlatCode => self.error.flat_code = lossy(),
        }
    }

    fn restart_error(&mut self) {
        self.error_is_truthy = false;
        self.error.message.clear();
        self.error.kind.clear();
        self.error.code.clear();
    }
}

impl Sink for Fields {
    type Place = Place;
    const NOWHERE: Place = Place::Nowhere;

    #[inline]
    fn member(&mut self, object: Place, name: &[u8]) -> Place {
        use TextField as T;
        match object {
            Place::Body | Place::Item => self.top_member(name),
            Place::Choice => match name {
                b"finish_reason" => Place::Text(T::Finish),
                // Moonshot's streams state it there; beside one that stands where it should it says nothing.
                b"usage" if !self.has_usage || self.is_choices_usage => Place::ChoicesUsage,
                _ => Place::Nowhere,
            },
            Place::Delta if name == b"stop_reason" => Place::Text(T::Finish),
            Place::Message if name == b"usage" => Place::Usage,
            Place::Incomplete if name == b"reason" => Place::Text(T::Finish),
            Place::Response => match name {
                b"usage" => Place::Usage,
                b"error" => Place::Error,
                b"incomplete_details" => Place::Incomplete,
                b"service_tier" => Place::Text(T::Tier),
                _ => Place::Nowhere,
            },
            Place::Usage | Place::ChoicesUsage => Count::in_usage(name),
            Place::Details(details) => Count::in_details(details, name),
            Place::Iteration => Count::in_iteration(name),
            Place::IterationCache if name == b"ephemeral_1h_input_tokens" => Place::Iterated(Count::CacheCreation1h),
            Place::Error => {
                self.error_is_truthy = true;
                match name {
                    b"message" => Place::Text(T::ErrorMessage),
                    b"type" => Place::Text(T::ErrorType),
                    b"code" => Place::Text(T::ErrorCode),
                    _ => Place::Nowhere,
                }
            }
            _ => Place::Nowhere,
        }
    }

    fn element(&self, array: Place) -> Place {
        match array {
            Place::Body => Place::Item,
            Place::Choices => Place::Choice,
            Place::Parts => Place::Part,
            Place::Iterations => Place::Iteration,
            Place::Error => Place::ErrorElement,
            _ => Place::Nowhere,
        }
    }

    fn open(&mut self, at: Place, array: bool) -> bool {
        match at {
            Place::Body | Place::Message | Place::Delta | Place::Response | Place::Incomplete => {
                !array || at == Place::Body
            }
            Place::Item => {
                // The last object counts; an array among them is none.
                if !array {
                    self.restart();
                }
                !array
            }
            Place::Choices => {
                self.has_choices = false;
                array
            }
            Place::Choice => {
                self.has_choices = true;
                !array
            }
            Place::Parts => array,
            Place::Part => {
                self.has_parts = true;
                false
            }
            Place::Usage | Place::ChoicesUsage => {
                self.counts.clear();
                self.has_usage = !array;
                self.is_choices_usage = at == Place::ChoicesUsage;
                !array
            }
            Place::Details(details) => {
                self.counts.clear_details(details);
                !array
            }
            Place::Iterations => {
                self.counts.clear_iterations();
                array
            }
            Place::Iteration => {
                self.counts.next_iteration();
                !array
            }
            Place::IterationCache => {
                self.counts.set_iterated(Count::CacheCreation1h, None);
                !array
            }
            Place::Iterated(count) => {
                self.counts.set_iterated(count, None);
                false
            }
            Place::Error => {
                self.restart_error();
                true
            }
            Place::ErrorElement => {
                self.error_is_truthy = true;
                false
            }
            Place::Count(count) => {
                self.counts.set(count, None);
                false
            }
            Place::Done => {
                self.done = false;
                false
            }
            Place::Text(_) | Place::Nowhere => false,
        }
    }

    fn scalar(&mut self, at: Place, value: Scalar<'_>) {
        match at {
            Place::Text(field) => self.set_text(field, value),
            Place::Count(count) if count.is_measured() => self.counts.set(count, value.count_up()),
            Place::Count(count) => self.counts.set(count, value.count()),
            Place::Done => self.done = matches!(value, Scalar::Atom(b"true")),
            Place::Choice => self.has_choices = true,
            Place::Choices => self.has_choices = false,
            Place::Part => self.has_parts = true,
            Place::Usage if self.is_choices_usage => {}
            Place::Usage | Place::ChoicesUsage => {
                self.counts.clear();
                self.has_usage = false;
            }
            Place::Details(details) => self.counts.clear_details(details),
            Place::Iterations => self.counts.clear_iterations(),
            Place::IterationCache => self.counts.set_iterated(Count::CacheCreation1h, None),
            Place::Iterated(count) => self.counts.set_iterated(count, value.count()),
            Place::Error => {
                self.restart_error();
                self.error_is_truthy = value.is_truthy();
                if let Some(text) = value.text() {
                    self.error.message = String::from_utf8_lossy(&text).into_owned();
                }
            }
            Place::ErrorElement => self.error_is_truthy = true,
            _ => {}
        }
    }
}

fn stated(message: &str, kind: &str, code: &str) -> UpstreamError {
    let status = code.parse().ok().filter(|s| (400..600).contains(s));
    let status =
        status.or_else(|| anthropic::status_of(kind)).or_else(|| named_status(code)).or_else(|| named_status(kind));
    let kind = [kind, code].into_iter().find(|k| !k.is_empty()).map(str::to_owned);
    UpstreamError { status, message: message.to_owned(), kind }
}

/// The status that goes with one of `OpenAI`'s types or codes.
fn named_status(name: &str) -> Option<u16> {
    Some(match name {
        "invalid_api_key" => 401,
        "model_not_found" => 404,
        "context_length_exceeded" => 400,
        "rate_limit_exceeded" | "insufficient_quota" | "requests" | "tokens" | "slow_down" => 429,
        "server_error" | "internal_server_error" => 500,
        "server_is_overloaded" | "overloaded" | "service_unavailable" => 503,
        _ => return None,
    })
}
