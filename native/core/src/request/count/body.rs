//! What is to be counted in a body: a chat, or text.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    error::{Code, Error},
    limits::Reserve,
    request::{
        endpoint::Api,
        estimate::{Prompt, TOKEN_BYTES},
    },
    tokens::{self, Encoding, Measure, approximate, each, measure_chat},
};

/// The fields that may hold it; `null` counts as absent.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

/// Tokens of a body that was found to be a JSON object in UTF-8, and whether all of it was counted. Without a table they
/// are guessed from its bytes. Errors name the field at fault.
pub(super) fn count(
    body: &[u8],
    api: Api,
    model: &str,
    measure: Measure,
    encoding: Option<&Encoding>,
) -> Result<(u64, bool), Error> {
    let fields: Body<'_> =
        serde_json::from_slice(body).map_err(|e| Error::new(Code::InvalidJson, format!("The request body: {e}.")))?;
    let text = match fields {
        Body { messages: Some(messages), input: None, text: None } => {
            return chat(body, messages, model, encoding);
        }
        Body { messages: Some(messages), .. } if api == Api::CountTokens => {
            return chat(body, messages, model, encoding);
        }
        _ if api == Api::CountTokens => return Err(wrong("messages", "The request has no messages.")),
        Body { messages: None, input: Some(input), text: None } => ("input", input),
        Body { messages: None, input: None, text: Some(text) } => ("text", text),
        Body { messages: None, input: None, text: None } => {
            let message = "There is nothing to count: send messages, input or text.";
            return Err(wrong("messages", message));
        }
        Body { messages: Some(_), input, .. } => {
            let other = if input.is_some() { "input" } else { "text" };
            return Err(wrong(other, "Send one of messages, input and text, not several."));
        }
        Body { .. } => return Err(wrong("text", "Send one of messages, input and text, not several.")),
    };
    let tokens = texts(text.1, encoding).ok_or_else(|| {
        let message = format!("The field \"{}\" must be a string or a list of strings.", text.0);
        wrong(text.0, &message)
    })?;
    Ok((if encoding.is_some() { approximate(measure, tokens) } else { tokens }, encoding.is_some()))
}

/// A whole request of chat or of Anthropic's messages.
fn chat(body: &[u8], messages: &RawValue, model: &str, encoding: Option<&Encoding>) -> Result<(u64, bool), Error> {
    let mut are_objects = messages.get().starts_with('[');
    each(messages, |message| are_objects &= message.get().starts_with('{'));
    if !are_objects {
        return Err(wrong("messages", "The field \"messages\" must be a list of objects."));
    }
    let Some(encoding) = encoding else { return Ok((Prompt::of_json(body).tokens(Reserve::Expected), false)) };
    // Of a body like this one nothing else is refused.
    measure_chat(encoding, model, body)
        .map_err(|_| wrong("functions", "tools and functions are two names of one field; send one."))
}

/// Tokens of a string, or of each in a list; `None`: it is neither.
fn texts(value: &RawValue, encoding: Option<&Encoding>) -> Option<u64> {
    let one = |value: &RawValue| {
        let text = tokens::text(value)?;
        Some(encoding.map_or_else(|| (text.len() as u64).div_ceil(TOKEN_BYTES), |e| tokens::count(e, &text)))
    };
    if !value.get().starts_with('[') {
        return one(value);
    }
    let mut sum = Some(0);
    each(value, |value| sum = sum.and_then(|sum: u64| Some(sum + one(value)?)));
    sum
}

fn wrong(field: &str, message: &str) -> Error {
    Error::new(Code::InvalidRequest, message).at(field)
}
