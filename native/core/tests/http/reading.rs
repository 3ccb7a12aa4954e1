//! What a whole connection says, read message by message: the thing that must not depend on how bytes arrive.

use penstock_core::http::{Buffers, Conn, HeadLimits, ReadError, RequestHead, ResponseHead, Version};

use crate::script::{Script, drive};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub version: Version,
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Vec<u8>,
    pub keep_alive: bool,
    pub expect_continue: bool,
    pub upgrade: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub status: u16,
    pub version: Version,
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Vec<u8>,
    pub keep_alive: bool,
}

/// All messages, and how it ended: `end`, `close`, or the reason of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading<M> {
    pub messages: Vec<M>,
    pub end: String,
}

fn owned<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields.map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

/// Collects a body, consuming at most `appetite` bytes each time some came; 0: all at the end.
fn body(conn: &mut Conn<Script>, appetite: usize) -> Result<Vec<u8>, ReadError> {
    let mut body = Vec::new();
    loop {
        let more = drive(|cx| conn.poll_body(cx))?;
        let n = if more && !conn.body_done() { conn.payload().len().min(appetite) } else { conn.payload().len() };
        body.extend_from_slice(&conn.payload()[..n]);
        conn.consume(n);
        if conn.body_done() {
            return Ok(body);
        }
    }
}

pub(crate) fn requests(script: &Script, appetite: usize) -> Reading<Request> {
    let buffers = Buffers::new(4);
    let mut conn = Conn::new(script.clone(), buffers.clone());
    let mut messages = Vec::new();
    let mut head = RequestHead::default();
    let end = loop {
        match request(&mut conn, &mut head, appetite) {
            Ok(Some(request)) => {
                conn.finish_message();
                let last = !request.keep_alive;
                messages.push(request);
                if last {
                    break "close".to_owned();
                }
            }
            Ok(None) => break "end".to_owned(),
            Err(error) => break error.to_string(),
        }
    };
    drop(conn);
    assert_eq!(buffers.lent(), 0, "every buffer comes back");
    Reading { messages, end }
}

fn request(conn: &mut Conn<Script>, head: &mut RequestHead, appetite: usize) -> Result<Option<Request>, ReadError> {
    drive(|cx| conn.poll_parked(cx))?;
    if !drive(|cx| conn.poll_request_head(cx, head, &HeadLimits::default()))? {
        return Ok(None);
    }
    let bytes = conn.head();
    let mut request = Request {
        method: head.method.of(bytes).to_vec(),
        target: head.target.of(bytes).to_vec(),
        version: head.version,
        fields: owned(head.fields(bytes)),
        body: Vec::new(),
        keep_alive: head.keep_alive,
        expect_continue: head.expect_continue,
        upgrade: head.upgrade,
    };
    request.body = body(conn, appetite)?;
    Ok(Some(request))
}

/// Answers in a row; `to_head[i]` says whether the i-th answers a HEAD request.
pub(crate) fn responses(script: &Script, to_head: &[bool], appetite: usize) -> Reading<Response> {
    let buffers = Buffers::new(4);
    let mut conn = Conn::new(script.clone(), buffers.clone());
    let mut messages = Vec::new();
    let mut head = ResponseHead::default();
    let mut asked = to_head.iter().copied();
    let end = loop {
        match response(&mut conn, &mut head, asked.next().unwrap_or(false), appetite) {
            Ok(response) => {
                conn.finish_message();
                let last = !response.keep_alive;
                messages.push(response);
                if last {
                    break "close".to_owned();
                }
            }
            Err(ReadError::Closed) => break "end".to_owned(),
            Err(error) => break error.to_string(),
        }
    };
    drop(conn);
    assert_eq!(buffers.lent(), 0, "every buffer comes back");
    Reading { messages, end }
}

fn response(
    conn: &mut Conn<Script>,
    head: &mut ResponseHead,
    to_head: bool,
    appetite: usize,
) -> Result<Response, ReadError> {
    drive(|cx| conn.poll_response_head(cx, head, &HeadLimits::default(), to_head))?;
    let bytes = conn.head();
    let mut response = Response {
        status: head.status,
        version: head.version,
        fields: owned(head.fields(bytes)),
        body: Vec::new(),
        keep_alive: head.keep_alive,
    };
    response.body = body(conn, appetite)?;
    Ok(response)
}
