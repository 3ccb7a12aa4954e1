//! Declarations of tools as the text that models see: `OpenAI` renders their schemas as TypeScript.
//!
//! Source: `LiteLLM`'s token counter, which took it from hmarr/openai-chat-tokens. Within about 5 %.

use std::{borrow::Cow, collections::HashSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::json::{each, members, text};

/// Schemas are rendered down to this depth; what lies deeper is `any`.
const MAX_DEPTH: usize = 16;

/// A tool: of chat, where `function` holds the rest, of `/responses`, of Anthropic, or an old `functions` entry.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Tool<'a> {
    #[serde(borrow)]
    function: Option<&'a RawValue>,
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

/// The tools of a list as `namespace functions { … }`.
pub(super) fn rendered(tools: &RawValue) -> Vec<u8> {
    let mut out = b"namespace functions {\n\n".to_vec();
    each(tools, |tool| {
        let outer = read::<Tool<'_>>(tool);
        let tool = outer.function.map_or(outer, read::<Tool<'_>>);
        comment(&mut out, tool.description);
        out.extend_from_slice(b"type ");
        out.extend_from_slice(&string(tool.name));
        let parameters = tool.parameters.map(read::<Schema<'_>>).unwrap_or_default();
        let mut inner = Vec::new();
        object(&mut inner, &parameters, 0);
        if inner.is_empty() {
            out.extend_from_slice(b" = () => any;\n\n");
        } else {
            out.extend_from_slice(b" = (_: {\n");
            out.append(&mut inner);
            out.extend_from_slice(b"\n}) => any;\n\n");
        }
    });
    out.extend_from_slice(b"} // namespace functions");
    out
}

/// Properties, a line each and one for a description; nothing if there are none.
fn object(out: &mut Vec<u8>, schema: &Schema<'_>, depth: usize) {
    let Some(properties) = schema.properties else { return };
    let mut required = HashSet::new();
    if let Some(names) = schema.required {
        each(names, |name| required.extend(text(name)));
    }
    let indent = " ".repeat(2 * depth);
    let begin = out.len();
    members(properties, |name, property| {
        let property = read::<Schema<'_>>(property);
        if out.len() > begin {
            out.push(b'\n');
        }
        if property.description.is_some() {
            out.extend_from_slice(indent.as_bytes());
        }
        comment(out, property.description);
        out.extend_from_slice(indent.as_bytes());
        out.extend_from_slice(&name);
        out.extend_from_slice(if required.contains(&name) { b": " } else { b"?: " });
        kind(out, &property, depth);
        out.push(b',');
    });
}

/// A type as TypeScript writes it.
fn kind(out: &mut Vec<u8>, schema: &Schema<'_>, depth: usize) {
    let name = string(schema.kind);
    match name.as_ref() {
        b"string" | b"integer" | b"number" if schema.words.is_some() => {
            let begin = out.len();
            each(schema.words.unwrap_or(RawValue::NULL), |word| {
                if out.len() > begin {
                    out.extend_from_slice(b" | ");
                }
                out.push(b'"');
                out.extend_from_slice(&text(word).unwrap_or(Cow::Borrowed(word.get().as_bytes())));
                out.push(b'"');
            });
        }
        b"integer" | b"number" => out.extend_from_slice(b"number"),
        b"string" | b"boolean" | b"null" => out.extend_from_slice(&name),
        b"array" if depth < MAX_DEPTH => {
            kind(out, &schema.items.map(read::<Schema<'_>>).unwrap_or_default(), depth + 1);
            out.extend_from_slice(b"[]");
        }
        b"object" if depth < MAX_DEPTH => {
            out.extend_from_slice(b"{\n");
            object(out, schema, depth + 1);
            out.extend_from_slice(b"\n}");
        }
        _ => out.extend_from_slice(b"any"),
    }
}

fn comment(out: &mut Vec<u8>, description: Option<&RawValue>) {
    if description.is_some() {
        out.extend_from_slice(b"// ");
        out.extend_from_slice(&string(description));
        out.push(b'\n');
    }
}

fn string(value: Option<&RawValue>) -> Cow<'_, [u8]> {
    value.and_then(text).unwrap_or_default()
}

/// What cannot be read as such has nothing that matters.
fn read<'a, T: Deserialize<'a> + Default>(value: &'a RawValue) -> T {
    serde_json::from_str(value.get()).unwrap_or_default()
}
