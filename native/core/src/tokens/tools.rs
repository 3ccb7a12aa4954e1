//! Declarations of tools as the text that models see: `OpenAI` renders their schemas as TypeScript.
//!
//! Source: `LiteLLM`'s token counter, which took it from hmarr/openai-chat-tokens. Within about 5 %.

use std::{borrow::Cow, collections::HashSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Encoding, Tally,
    json::{each, members, text},
};

/// Schemas are rendered down to this depth; what lies deeper is `any`.
const MAX_DEPTH: usize = 16;
/// Of the names that a schema says are required so many are remembered: the rest is rendered as if it were not.
const MOST_REQUIRED: usize = 10_000;

/// A tool: of chat, where `function` or `custom` holds the rest, of `/responses`, of Anthropic, or an old `functions` entry.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Tool<'a> {
    #[serde(borrow)]
    function: Option<&'a RawValue>,
    #[serde(borrow)]
    custom: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    description: Option<&'a RawValue>,
    #[serde(borrow, alias = "input_schema")]
    parameters: Option<&'a RawValue>,
}

/// What matters of a JSON Schema.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Schema<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    description: Option<&'a RawValue>,
    #[serde(borrow, rename = "enum")]
    words: Option<&'a RawValue>,
    #[serde(borrow)]
    properties: Option<&'a RawValue>,
    #[serde(borrow)]
    required: Option<&'a RawValue>,
    #[serde(borrow)]
    items: Option<&'a RawValue>,
}

/// The tokens of the tools of a list, written as `namespace functions { … }`. The text is never all there: it may be many
/// times as long as what it is made of.
pub(super) fn tokens(tools: &RawValue, encoding: &Encoding) -> u64 {
    let mut out = Writer { tally: Tally::default(), encoding };
    out.put(b"namespace functions {\n\n");
    each(tools, |tool| {
        let outer = read::<Tool<'_>>(tool);
        let tool = outer.function.or(outer.custom).map_or(outer, read::<Tool<'_>>);
        out.comment(tool.description);
        out.put(b"type ");
        out.put(&string(tool.name));
        let parameters = tool.parameters.map(read::<Schema<'_>>).unwrap_or_default();
        let has_some = out.object(&parameters, 0, b" = (_: {\n");
        out.put(if has_some { b"\n}) => any;\n\n" } else { b" = () => any;\n\n" });
    });
    out.put(b"} // namespace functions");
    out.tally.end(Some(encoding)).0
}

/// Counts what is written.
struct Writer<'a> {
    tally: Tally,
    encoding: &'a Encoding,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.tally.push(bytes);
        if self.tally.is_due() {
            self.tally.count(Some(self.encoding));
        }
    }

    /// Properties behind `head`, a line each and one for a description; `false`: there are none, and nothing was written.
    fn object(&mut self, schema: &Schema<'_>, depth: usize, head: &[u8]) -> bool {
        let Some(properties) = schema.properties else { return false };
        let mut required = HashSet::new();
        if let Some(names) = schema.required {
            each(names, |name| {
                if required.len() < MOST_REQUIRED {
                    required.extend(text(name));
                }
            });
        }
        let indent = " ".repeat(2 * depth);
        let mut has_some = false;
        members(properties, |name, property| {
            let property = read::<Schema<'_>>(property);
            self.put(if has_some { b"\n" } else { head });
            has_some = true;
            if property.description.is_some() {
                self.put(indent.as_bytes());
            }
            self.comment(property.description);
            self.put(indent.as_bytes());
            self.put(&name);
            self.put(if required.contains(&name) { b": " } else { b"?: " });
            self.kind(&property, depth);
            self.put(b",");
        });
        has_some
    }

    /// A type as TypeScript writes it.
    fn kind(&mut self, schema: &Schema<'_>, depth: usize) {
        let name = string(schema.kind);
        match name.as_ref() {
            b"string" | b"integer" | b"number" if schema.words.is_some() => {
                let mut has_some = false;
                each(schema.words.unwrap_or(RawValue::NULL), |word| {
                    if std::mem::replace(&mut has_some, true) {
                        self.put(b" | ");
                    }
                    self.put(b"\"");
                    self.put(&text(word).unwrap_or(Cow::Borrowed(word.get().as_bytes())));
                    self.put(b"\"");
                });
            }
            b"integer" | b"number" => self.put(b"number"),
            b"string" | b"boolean" | b"null" => self.put(&name),
            b"array" if depth < MAX_DEPTH => {
                self.kind(&schema.items.map(read::<Schema<'_>>).unwrap_or_default(), depth + 1);
                self.put(b"[]");
            }
            b"object" if depth < MAX_DEPTH => {
                if !self.object(schema, depth + 1, b"{\n") {
                    self.put(b"{\n");
                }
                self.put(b"\n}");
            }
            _ => self.put(b"any"),
        }
    }

    fn comment(&mut self, description: Option<&RawValue>) {
        if description.is_some() {
            self.put(b"// ");
            self.put(&string(description));
            self.put(b"\n");
        }
    }
}

fn string(value: Option<&RawValue>) -> Cow<'_, [u8]> {
    value.and_then(text).unwrap_or_default()
}

/// What cannot be read as such has nothing that matters.
fn read<'a, T: Deserialize<'a> + Default>(value: &'a RawValue) -> T {
    serde_json::from_str(value.get()).unwrap_or_default()
}
