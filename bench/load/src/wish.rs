//! What the driver wishes the mock to answer, carried in the request's `user` field: a gateway passes the body on as it
//! is, but not every header.

use memchr::memmem;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Length of an unstreamed answer's body.
    pub(crate) bytes: usize,
    /// Content frames of a streamed answer; 0: unstreamed.
    pub(crate) chunks: u32,
    /// Time between two content frames.
    pub(crate) pace_ms: u64,
}

impl Wish {
    /// `size=1024;chunks=0;pace_ms=0`
    pub(crate) fn text(&self) -> String {
        format!("size={};chunks={};pace_ms={}", self.bytes, self.chunks, self.pace_ms)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut wish = Self::default();
        for pair in text.split(';') {
            let (name, value) = pair.split_once('=')?;
            match name {
                "size" => wish.bytes = value.parse().ok()?,
                "chunks" => wish.chunks = value.parse().ok()?,
                "pace_ms" => wish.pace_ms = value.parse().ok()?,
                _ => return None,
            }
        }
        Some(wish)
    }

    /// The wish inside a request body; `user` stands before `messages`, so that this ends soon in a long one.
    pub(crate) fn find(body: &[u8]) -> Option<Self> {
        let from = memmem::find(body, b"\"user\":")? + 7;
        // A gateway that writes the body anew may put a space here.
        let value = body[from..].trim_ascii_start().strip_prefix(b"\"")?;
        let length = memchr::memchr(b'"', value)?;
        Self::parse(std::str::from_utf8(&value[..length]).ok()?)
    }
}

/// What stands before the key in a request.
pub(crate) const BEFORE_KEY: &[u8] = b"Authorization: Bearer ";

/// The request as the official Python SDK sends it: its headers too, as they are work for whoever reads them.
pub(crate) fn request(host: &str, path: &str, model: &str, key: &str, wish: &Wish, body_bytes: usize) -> Vec<u8> {
    let stream = if wish.chunks > 0 { r#","stream":true"# } else { "" };
    let open =
        format!(r#"{{"model":"{model}","user":"{}"{stream},"messages":[{{"role":"user","content":""#, wish.text());
    let close = "\"}]}";
    let filler = crate::answer::filler(body_bytes.saturating_sub(open.len() + close.len()));
    let body = [open.as_bytes(), &filler, close.as_bytes()].concat();
    let mut out = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: identity\r\nAccept: application/json\r\n\
         Content-Type: application/json\r\nUser-Agent: OpenAI/Python 2.8.1\r\nX-Stainless-Lang: python\r\n\
         X-Stainless-Package-Version: 2.8.1\r\nX-Stainless-OS: Linux\r\nX-Stainless-Arch: x64\r\n\
         X-Stainless-Runtime: CPython\r\nX-Stainless-Runtime-Version: 3.11.7\r\nX-Stainless-Async: false\r\n\
         x-stainless-retry-count: 0\r\nx-stainless-read-timeout: 600\r\nAuthorization: Bearer {key}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    out.extend_from_slice(&body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_survives_the_request_that_carries_it() {
        let wish = Wish { bytes: 32_768, chunks: 7, pace_ms: 20 };
        let request = request("h", "/v1/chat/completions", "bench", "sk-1", &wish, 600);
        assert_eq!(Wish::find(&request), Some(wish));
        let body = &request[memmem::find(&request, b"\r\n\r\n").unwrap() + 4..];
        assert_eq!(body.len(), 600);
        assert!(serde_json::from_slice::<serde_json::Value>(body).is_ok());
    }

    #[test]
    fn an_unknown_word_is_no_wish() {
        assert_eq!(Wish::find(br#"{"user":"size=1;colour=red"}"#), None);
        assert_eq!(Wish::find(br#"{"user": "size=1"}"#).map(|w| w.bytes), Some(1));
    }
}
