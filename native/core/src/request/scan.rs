//! One pass over a JSON request: checks its syntax and notes where the fields stand that Penstock reads or edits.

mod ahead;
mod fields;
mod lexer;
mod names;

use std::{borrow::Cow, ops::Range};

use crate::{
    dialects::{Dialect, StreamKind, usage::Tier},
    error::{Code, Error},
    json::BOM,
};
pub use ahead::Ahead;
use lexer::Lexer;
use names::Names;

/// Where something stands in the body, in bytes.
pub type Span = Range<usize>;

/// A string of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// The value with its quotes.
    pub span: Span,
    /// Decoded.
    pub text: Cow<'a, str>,
}

/// The value of `stream_options`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// The whole value.
    pub span: Span,
    /// False: it is `null`.
    pub is_object: bool,
    /// It has no fields.
    pub empty: bool,
    /// The last `include_usage` and its value; the value `None` is `null`.
    pub include_usage: Option<(Span, Option<bool>)>,
}

/// A number of tokens that bounds nothing: not a whole number, or one that its reader takes for no bound.
pub const UNBOUNDED: u64 = u64::MAX;

/// What a request body says. All spans are of values; `null` counts as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan<'a> {
    pub model: Option<Text<'a>>,
    pub stream: Option<(Span, bool)>,
    /// Here `null` is kept, because it may have to be replaced.
    pub stream_options: Option<StreamOptions>,
    pub max_tokens: Option<(Span, u64)>,
    pub max_completion_tokens: Option<(Span, u64)>,
    pub max_output_tokens: Option<(Span, u64)>,
    /// Names of other servers for the same, `n_predict` and `num_predict`: the larger of them.
    pub n_predict: Option<u64>,
    /// Ollama's: `num_predict` of its `options`.
    pub num_predict: Option<u64>,
    pub n: Option<(Span, u64)>,
    pub best_of: Option<(Span, u64)>,
    /// How many prompts `prompt` lists; 0: it is none.
    pub prompts: u64,
    /// The answer comes later, by another request.
    pub background: bool,
    /// Its `service_tier`.
    pub tier: Tier,
    /// Its `speed` is `fast`, which means something to Anthropic.
    pub is_fast: bool,
    pub user: Option<Span>,
    pub metadata: Option<Span>,
    /// Where models may be named that the provider may turn to: Anthropic's `fallbacks`, `OpenRouter`'s `models` and
    /// `plugins`, and `tools`, of which some ask a model.
    pub others: [Option<Span>; 4],
    /// The outer object, braces included.
    pub object: Span,
    /// The outer object has no fields.
    pub empty: bool,
}

/// Anthropic's `metadata`, as far as it says whom the client asks for.
#[derive(serde::Deserialize)]
struct Metadata {
    user_id: Option<String>,
}

/// Whoever takes more JSON to name is not named.
const END_USER_BYTES: usize = 2_048;

impl Scan<'_> {
    /// What is believed that it is served as, before the answer tells.
    pub fn asked_tier(&self, dialect: Dialect) -> Tier {
        if self.is_fast && dialect == Dialect::Anthropic { Tier::Fast } else { self.tier.asked() }
    }

    /// How many alternatives a stream has, each with an end of its own.
    pub fn choices(&self, kind: StreamKind) -> u64 {
        let prompts = if kind == StreamKind::Completions { self.prompts.max(1) } else { 1 };
        match kind {
            StreamKind::Chat | StreamKind::Completions => {
                self.n.as_ref().map_or(1, |(_, n)| (*n).max(1)).saturating_mul(prompts)
            }
            _ => 1,
        }
    }

    /// Whom the client asks for: `user`, or `user_id` of Anthropic's `metadata`; empty where neither is a text.
    pub fn end_user<'a>(&self, body: &'a [u8]) -> Cow<'a, str> {
        let json = |span: &Option<Span>| span.clone().filter(|s| s.len() <= END_USER_BYTES).map(|span| &body[span]);
        let user = json(&self.user).and_then(text);
        let metadata = || json(&self.metadata).and_then(|json| serde_json::from_slice(json).ok());
        user.or_else(|| metadata().and_then(|metadata: Metadata| metadata.user_id).map(Cow::Owned)).unwrap_or_default()
    }
}

/// What a JSON string says, if it is one.
fn text(json: &[u8]) -> Option<Cow<'_, str>> {
    let plain = json.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr(b'\\', plain).is_some() {
        return serde_json::from_slice(json).ok().map(Cow::Owned);
    }
    std::str::from_utf8(plain).ok().map(Cow::Borrowed)
}

/// Scans a body; errors name the byte or the field at fault.
///
/// Accepts RFC 8259 JSON in UTF-8 whose outermost value is an object, nested at most `max_depth` deep (128 at
/// most). Refused beyond the standard: a byte order mark, two fields of the outer object with one name, and a field
/// there whose name is one of ours but for its case.
/// Escapes of lone surrogates and repeated names further inside pass as they came.
pub fn scan(body: &[u8], max_depth: usize) -> Result<Scan<'_>, Error> {
    scan_known(body, max_depth, 0, &[])
}

/// [`scan`] of a body of which `ahead` has seen a part or all.
pub fn scan_after<'a>(ahead: &'a Ahead, body: &'a [u8], max_depth: usize) -> Result<Scan<'a>, Error> {
    scan_known(body, max_depth, ahead.valid, &ahead.strings)
}

/// `valid`: all before is UTF-8; `known`: strings as [`Ahead`] notes them.
fn scan_known<'a>(
    body: &'a [u8],
    max_depth: usize,
    valid: usize,
    known: &'a [(usize, usize)],
) -> Result<Scan<'a>, Error> {
    simdutf8::compat::from_utf8(&body[valid..])
        .map_err(|e| invalid(format!("The request body is not valid UTF-8 at byte {}.", valid + e.valid_up_to())))?;
    let mut lexer = Lexer::new(body, max_depth, known);
    lexer.skip_blanks();
    match lexer.peek() {
        Some(b'{') => {}
        None => return Err(invalid("The request body is empty; a JSON object is expected.")),
        Some(0xef) if body.starts_with(BOM) => {
            return Err(invalid("The request body begins with a byte order mark; send the JSON without it."));
        }
        Some(_) => return Err(not_an_object(&mut lexer)),
    }
    let mut scan = Scan::default();
    let start = lexer.pos();
    let mut names = Names::default();
    lexer.members(|lexer, name| {
        let plain = names.add(body, name)?;
        fields::note(&mut scan, lexer, body, &plain)
    })?;
    scan.empty = names.is_empty();
    scan.object = start..lexer.pos();
    lexer.end()?;
    Ok(scan)
}

/// The syntax comes first: a body that is no JSON at all should be told so.
fn not_an_object(lexer: &mut Lexer<'_>) -> Error {
    match lexer.value().and_then(|_| lexer.end()) {
        Ok(()) => Error::new(Code::InvalidRequest, "The request body must be a JSON object."),
        Err(error) => error,
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidJson, message)
}
