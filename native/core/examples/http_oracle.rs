//! What the codec makes of bytes, for oracles in other languages: a line of hex in, a line of JSON out.
//!
//! In: `request HEX` or `response HEX` (with `head` between for an answer to HEAD). Out: `{"messages": [...], "end": "..."}`
//! with bytes as hex; `end` is `end`, `close`, or why the rest was refused.

#![expect(clippy::print_stdout, reason = "stdout is the protocol")]

use std::io::{self, BufRead, Write as _};

use penstock_core::http::{
    BodyDecoder, BodyError, BodyLimits, Framing, HeadError, HeadLimits, RequestHead, ResponseHead,
};
use serde_json::{Value, json};

enum Refusal {
    Head(HeadError),
    Body(BodyError),
    Cut,
}

impl Refusal {
    fn reason(&self) -> String {
        match self {
            Self::Head(error) => error.to_string(),
            Self::Body(error) => error.to_string(),
            Self::Cut => "the connection ended inside the head".to_owned(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    digits.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

fn fields<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<[String; 2]> {
    fields.map(|(name, value)| [hex(name), hex(value)]).collect()
}

/// The payload at the front of `rest` and how long it was on the wire.
fn body(framing: Framing, rest: &[u8]) -> Result<(Vec<u8>, usize), Refusal> {
    let mut decoder = BodyDecoder::new(framing, &BodyLimits::default());
    let mut bytes = rest.to_vec();
    let decoded = decoder.decode(&mut bytes).map_err(Refusal::Body)?;
    decoder.at_eof().map_err(Refusal::Body)?;
    bytes.truncate(decoded.payload);
    Ok((bytes, decoded.consumed))
}

/// One message at the front of `bytes`: what to tell, how long it was, whether another may follow.
type Message = (Value, usize, bool);

fn request(bytes: &[u8]) -> Result<Message, Refusal> {
    let mut head = RequestHead::default();
    head.parse(bytes, &HeadLimits::default()).map_err(Refusal::Head)?.ok_or(Refusal::Cut)?;
    let (body, len) = body(head.framing, &bytes[head.len..])?;
    let told = json!({
        "method": hex(head.method.of(bytes)),
        "target": hex(head.target.of(bytes)),
        "version": format!("{:?}", head.version),
        "fields": fields(head.fields(bytes)),
        "body": hex(&body),
        "keep_alive": head.keep_alive,
        "upgrade": head.upgrade,
        "length": head.len + len,
    });
    Ok((told, head.len + len, head.keep_alive))
}

fn response(bytes: &[u8], to_head: bool) -> Result<Message, Refusal> {
    let mut head = ResponseHead::default();
    head.parse(bytes, &HeadLimits::default(), to_head).map_err(Refusal::Head)?.ok_or(Refusal::Cut)?;
    let (body, len) = body(head.framing, &bytes[head.len..])?;
    let told = json!({
        "status": head.status,
        "version": format!("{:?}", head.version),
        "fields": fields(head.fields(bytes)),
        "body": hex(&body),
        "keep_alive": head.keep_alive,
    });
    Ok((told, head.len + len, head.keep_alive))
}

fn read(mut bytes: &[u8], one: impl Fn(&[u8]) -> Result<Message, Refusal>) -> Value {
    let mut messages = Vec::new();
    let end = loop {
        if bytes.is_empty() {
            break "end".to_owned();
        }
        match one(bytes) {
            Ok((told, len, keep_alive)) => {
                messages.push(told);
                bytes = &bytes[len..];
                if !keep_alive {
                    break "close".to_owned();
                }
            }
            Err(refusal) => break refusal.reason(),
        }
    };
    json!({ "messages": messages, "end": end })
}

fn main() -> io::Result<()> {
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let told = match words[..] {
            ["request", text] => unhex(text).map(|bytes| read(&bytes, request)),
            ["response", text] => unhex(text).map(|bytes| read(&bytes, |b| response(b, false))),
            ["response", "head", text] => unhex(text).map(|bytes| read(&bytes, |b| response(b, true))),
            _ => None,
        };
        println!("{}", told.unwrap_or_else(|| json!({ "error": "not understood" })));
        io::stdout().flush()?;
    }
    Ok(())
}
