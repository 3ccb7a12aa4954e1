//! Tokens of a whole chat: messages with what stands between them, tools, pictures.

use std::borrow::Cow;

use serde::{Deserialize, de::Error as _};
use serde_json::value::RawValue;

use super::{
    Encoding, Measure, approximate, count,
    images::{Detail, picture_tokens},
    json::{each, text},
    models::{bare, claude},
    tools,
};

/// What a message costs beside its text, and what the beginning of the answer does.
/// Source: `OpenAI`'s cookbook, "How to count tokens with tiktoken".
const MESSAGE: u64 = 3;
const NAME: i64 = 1;
const ANSWER: u64 = 3;
/// The one model that differs.
const OLD_TURBO: &str = "gpt-3.5-turbo-0301";
const OLD_TURBO_MESSAGE: u64 = 4;
const OLD_TURBO_NAME: i64 = -1;
/// Around declarations of tools, less what a system message shares with them. Source: `LiteLLM`'s token counter.
const TOOLS: i64 = 9;
const SYSTEM_BESIDE_TOOLS: i64 = -4;
const CHOICE_NONE: u64 = 1;
const CHOICE_NAMED: u64 = 7;
/// The system prompt that Anthropic adds for tools. Source: its page on tool use, of Claude 4.
const CLAUDE_TOOLS: i64 = 346;
/// Content inside content: results of tools.
const MAX_DEPTH: usize = 4;

/// A request of chat, or of Anthropic's messages; other fields do not count.
#[derive(Deserialize)]
struct Chat<'a> {
    #[serde(borrow)]
    messages: &'a RawValue,
    #[serde(borrow, default)]
    system: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tools: Option<&'a RawValue>,
    /// What `tools` were called before.
    #[serde(borrow, default)]
    functions: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_choice: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Message<'a> {
    #[serde(borrow)]
    role: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    function_call: Option<&'a RawValue>,
    /// What was said earlier, kept by the provider.
    #[serde(borrow)]
    audio: Option<&'a RawValue>,
    /// Of Ollama: pictures without anything around them.
    #[serde(borrow)]
    images: Option<&'a RawValue>,
}

/// A part of a message's content, or the call of a tool.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    image_url: Option<&'a RawValue>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    /// Of Anthropic's documents.
    #[serde(borrow)]
    title: Option<&'a RawValue>,
    #[serde(borrow)]
    context: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    /// Of Anthropic's calls and results of tools.
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    /// Of calls of functions, and of tools that take a text.
    #[serde(borrow)]
    function: Option<&'a RawValue>,
    #[serde(borrow)]
    custom: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// A picture: an address with how closely to look.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Picture<'a> {
    #[serde(borrow)]
    url: Option<&'a RawValue>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
}

/// Where one of Anthropic's pictures or documents is from.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Origin<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

/// The parts of which all is counted, but for documents that are files and pictures that are not there.
const COUNTED: [&[u8]; 13] = [
    b"text",
    b"refusal",
    b"image_url",
    b"image",
    b"document",
    b"thinking",
    b"tool_use",
    b"tool_result",
    b"function",
    b"custom",
    b"input_text",
    b"output_text",
    b"input_image",
];

/// Tokens of the prompt that a request in JSON makes, of `/chat/completions` or `/messages`.
///
/// Text, names, calls and results of tools are counted, each as text for itself; pictures by their size; sound and
/// files are not. For models that are not exact ([`Measure`]) all but the pictures is scaled. The encoding is the one
/// that the measure of the model names. Fails on what is no such request.
pub fn count_chat(encoding: &Encoding, model: &str, body: &[u8]) -> Result<u64, serde_json::Error> {
    measure_chat(encoding, model, body).map(|(tokens, _)| tokens)
}

/// The same, and whether nothing was passed over, nor the size of a picture taken for granted.
pub fn measure_chat(encoding: &Encoding, model: &str, body: &[u8]) -> Result<(u64, bool), serde_json::Error> {
    // Text that is known to be text is not checked again value by value.
    let chat: Chat<'_> = match simdutf8::basic::from_utf8(body) {
        Ok(body) => serde_json::from_str(body)?,
        Err(_) => serde_json::from_slice(body)?,
    };
    let mut count = Count { encoding, model, tokens: ANSWER, pictures: 0, is_all: true };
    let (of_message, of_name) =
        if bare(model) == OLD_TURBO { (OLD_TURBO_MESSAGE, OLD_TURBO_NAME) } else { (MESSAGE, NAME) };
    let mut has_system = chat.system.is_some();
    if chat.system.is_some() {
        count.tokens += of_message;
        count.content(chat.system, 0);
    }
    each(chat.messages, |message| {
        let message: Message<'_> = count.read(message);
        count.tokens += of_message;
        count.text(message.role);
        count.content(message.content, 0);
        count.text(message.refusal);
        if message.name.and_then(text).is_some() {
            count.text(message.name);
            count.tokens = count.tokens.saturating_add_signed(of_name);
        }
        if let Some(calls) = message.tool_calls {
            each(calls, |call| count.part(call, 0));
        }
        if let Some(call) = message.function_call {
            count.part(call, 0);
        }
        count.is_all &= message.audio.is_none_or(|audio| audio.get() == "null");
        if let Some(images) = message.images {
            each(images, |image| count.picture(&text(image).unwrap_or_default(), Detail::Auto));
        }
        has_system |= matches!(message.role.and_then(text).as_deref(), Some(b"system" | b"developer"));
    });
    let mut named = [chat.tools, chat.functions].into_iter().flatten();
    let mut next = || named.find(|tools| !matches!(tools.get(), "null" | "[]"));
    if let Some(tools) = next() {
        if next().is_some() {
            return Err(serde_json::Error::duplicate_field("functions"));
        }
        count.tools(tools, has_system);
    }
    if let Some(choice) = chat.tool_choice {
        count.choice(choice);
    }
    Ok((approximate(Measure::of(model), count.tokens).saturating_add(count.pictures), count.is_all))
}

struct Count<'a> {
    encoding: &'a Encoding,
    model: &'a str,
    tokens: u64,
    pictures: u64,
    is_all: bool,
}

impl Count<'_> {
    /// What cannot be read as what should stand here, a name twice for one, counts as the text that it is.
    fn read<'v, T: Deserialize<'v> + Default>(&mut self, value: &'v RawValue) -> T {
        serde_json::from_str(value.get()).unwrap_or_else(|_| {
            self.tokens += count(self.encoding, value.get().as_bytes());
            T::default()
        })
    }

    /// A string; anything else counts nothing.
    fn text(&mut self, value: Option<&RawValue>) {
        if let Some(text) = value.and_then(text) {
            self.tokens += count(self.encoding, &text);
        }
    }

    /// A string, or a list of parts.
    fn content(&mut self, content: Option<&RawValue>, depth: usize) {
        self.text(content);
        let Some(parts) = content.filter(|parts| parts.get().starts_with('[')) else { return };
        if depth < MAX_DEPTH {
            each(parts, |part| self.part(part, depth));
        } else {
            self.is_all = false;
        }
    }

    fn part(&mut self, part: &RawValue, depth: usize) {
        let part: Part<'_> = self.read(part);
        for text in [part.text, part.refusal, part.thinking] {
            self.text(text);
        }
        self.call(&part);
        for inner in [part.function, part.custom].into_iter().flatten() {
            let inner: Part<'_> = self.read(inner);
            self.call(&inner);
        }
        self.content(part.content, depth + 1);
        let kind = part.kind.and_then(text);
        self.is_all &= kind.as_deref().is_none_or(|kind| COUNTED.contains(&kind));
        let detail = |value: Option<&RawValue>| Detail::named(&value.and_then(text).unwrap_or_default());
        if let Some(address) = part.image_url {
            let picture = match text(address) {
                Some(_) => Picture { url: Some(address), detail: part.detail },
                None => self.read(address),
            };
            let url = picture.url.and_then(text).unwrap_or_default();
            self.picture(picture_in(&url), detail(picture.detail));
        } else if let Some(source) = part.source {
            match kind.as_deref() {
                Some(b"image") => {
                    let source: Origin<'_> = self.read(source);
                    self.picture(&source.data.and_then(text).unwrap_or_default(), Detail::Auto);
                }
                Some(b"document") => {
                    [part.title, part.context].into_iter().for_each(|about| self.text(about));
                    self.document(source, depth);
                }
                _ => {}
            }
        } else if matches!(kind.as_deref(), Some(b"image" | b"image_url" | b"input_image" | b"document")) {
            self.is_all = false;
        }
    }

    /// Text, or a list of parts; a file is passed over.
    fn document(&mut self, source: &RawValue, depth: usize) {
        let source: Origin<'_> = self.read(source);
        match source.kind.and_then(text).as_deref() {
            Some(b"text") => self.text(source.data),
            Some(b"content") => self.content(source.content, depth + 1),
            _ => self.is_all = false,
        }
    }

    /// What a tool is called with: a text, which may be of JSON, or JSON itself.
    fn call(&mut self, call: &Part<'_>) {
        self.text(call.name);
        for given in [call.arguments, call.input].into_iter().flatten().filter(|given| given.get() != "null") {
            let text = text(given).unwrap_or(Cow::Borrowed(given.get().as_bytes()));
            self.tokens += count(self.encoding, &text);
        }
    }

    fn picture(&mut self, base64: &[u8], detail: Detail) {
        let (tokens, is_known) = picture_tokens(self.model, base64, detail);
        self.is_all &= is_known;
        self.pictures = self.pictures.saturating_add(tokens);
    }

    fn tools(&mut self, tools: &RawValue, has_system: bool) {
        self.tokens += tools::tokens(tools, self.encoding);
        let around = match claude(&bare(self.model)) {
            Some(_) => CLAUDE_TOOLS,
            None if has_system => TOOLS + SYSTEM_BESIDE_TOOLS,
            None => TOOLS,
        };
        self.tokens = self.tokens.saturating_add_signed(around);
    }

    fn choice(&mut self, choice: &RawValue) {
        if text(choice).as_deref() == Some(b"none") {
            self.tokens += CHOICE_NONE;
        }
        if choice.get().starts_with('{') {
            let choice: Part<'_> = self.read(choice);
            let inner = choice.function.or(choice.custom);
            let name = inner.map_or(choice.name, |inner| self.read::<Part<'_>>(inner).name);
            if name.is_some() {
                self.tokens += CHOICE_NAMED;
                self.text(name);
            }
        }
    }
}

/// The data of a `data:` address; nothing of any other.
fn picture_in(url: &[u8]) -> &[u8] {
    let data = url.strip_prefix(b"data:").unwrap_or_default();
    let comma = data.iter().position(|byte| *byte == b',').map_or(data.len(), |at| at + 1);
    &data[comma..]
}
