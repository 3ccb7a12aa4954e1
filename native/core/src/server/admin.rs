//! The admin port: metrics and health from native, everything else is a question to Python.

use std::{pin::pin, rc::Rc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    connection::{Client, Next},
    health,
    worker::Worker,
};
use crate::{
    error::{Code, Error},
    http::{head::RequestHead, write::reason},
    questions::{AskError, Kind},
    relay::{Watched, watch},
    request::{Arrived, Reply, Stop, check_origin, read_body, read_head},
};

const DEADLINE: Duration = Duration::from_secs(10);
const MAX_BODY: usize = 1 << 20;

#[derive(Serialize)]
struct Asked<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    headers: Vec<(&'a str, &'a str)>,
}

#[derive(Deserialize)]
struct Answered {
    status: u16,
    headers: Vec<(String, String)>,
}

/// Serves one request of the admin port.
pub async fn serve(client: &mut Client, worker: &Rc<Worker>) -> Next {
    let mut scratch = worker.take_scratch();
    let next = match read_head(client, worker, &mut scratch.request).await {
        Ok(Arrived::Never) => Next::Close,
        Ok(_) => answer(client, worker, &scratch.request).await,
        Err(error) => problem(client, None, &error).await,
    };
    worker.give_scratch(scratch);
    next
}

async fn answer(client: &mut Client, worker: &Rc<Worker>, head: &RequestHead) -> Next {
    if let Some(error) = foreign(client, worker, head) {
        return problem(client, Some(head), &error).await;
    }
    if head.expect_continue && Reply::go_ahead(client).await.is_err() {
        return Next::Close;
    }
    let _held = match read_body(client, worker, MAX_BODY).await {
        Ok(held) => held,
        Err(Stop::Gone) => return Next::Close,
        Err(Stop::Refused(error)) => {
            return problem(client, Some(head), &error).await;
        }
    };
    let message = client.conn.take_message();
    let bytes = message.head();
    let text = |span: crate::http::head::Span| std::str::from_utf8(span.of(bytes)).unwrap_or("");
    let (path, query) = text(head.target).split_once('?').unwrap_or((text(head.target), ""));
    if path == "/metrics" {
        let mut page = Vec::new();
        worker.shared.render_metrics(&mut page);
        return whole(client, head, 200, "text/plain; version=0.0.4; charset=utf-8", &[], &page).await;
    }
    if let Some((status, body)) = health::answer(&worker.shared, path) {
        return whole(client, head, status, "application/json", &[], body.as_bytes()).await;
    }
    if !path.starts_with("/admin/") {
        let error = Error::new(Code::PathNotFound, "The admin port serves /admin/v1, /metrics and /health.");
        return problem(client, Some(head), &error).await;
    }
    let headers = head.fields.iter().map(|f| (text(f.name), text(f.value))).collect();
    let asked = Asked { method: text(head.method), path, query, headers };
    let Ok(mut payload) = serde_json::to_vec(&asked) else { return Next::Close };
    payload.push(b'\n');
    payload.extend_from_slice(message.payload());
    client.timer.set_at(None);
    match watch(client, pin!(worker.shared.questions.ask(Kind::Admin, payload, DEADLINE))).await {
        Watched::Gone | Watched::Late => Next::Close,
        Watched::Done(Ok(answer)) => relay(client, head, &answer).await,
        Watched::Done(Err(why)) => {
            let code = match why {
                AskError::Full | AskError::Timeout => Code::Overloaded,
                AskError::Closed => Code::ShuttingDown,
            };
            let error = Error::new(code, format!("The control plane did not answer: {why}.")).after_ms(1_000);
            problem(client, Some(head), &error).await
        }
    }
}

/// A name or a page of somebody else's, by which a browser was led here.
fn foreign(client: &Client, worker: &Worker, head: &RequestHead) -> Option<Error> {
    client.peer?;
    let bytes = client.conn.head();
    check_origin(&**worker.snapshot()?, head.field(bytes, "host"), head.field(bytes, "origin")).err()
}

async fn relay(client: &mut Client, head: &RequestHead, answer: &[u8]) -> Next {
    let end = memchr::memchr(b'\n', answer).unwrap_or(answer.len());
    let Ok(line) = serde_json::from_slice::<Answered>(&answer[..end]) else {
        let error = Error::new(Code::Internal, "The control plane sent no valid answer.");
        return problem(client, Some(head), &error).await;
    };
    let body = answer.get(end + 1..).unwrap_or_default();
    let content_type = line
        .headers
        .iter()
        .find(|(n, _)| n.eq_ignore_ascii_case("content-type"))
        .map_or("application/json", |(_, v)| v);
    let others: Vec<(&str, &str)> = line
        .headers
        .iter()
        .filter(|(n, _)| !n.eq_ignore_ascii_case("content-type") && !n.eq_ignore_ascii_case("content-length"))
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    whole(client, head, line.status, content_type, &others, body).await
}

/// Problem details (RFC 9457).
async fn problem(client: &mut Client, head: Option<&RequestHead>, error: &Error) -> Next {
    let (status, code) = (error.code.status(), error.code.name());
    let title = reason(status);
    let body = serde_json::json!({
        "type": "about:blank", "title": title, "status": status, "code": code, "detail": error.message,
    });
    let seconds = error.retry_after_ms.map(|ms| ms.div_ceil(1_000).to_string());
    let mut headers = vec![("x-penstock-error", code)];
    headers.extend(seconds.as_deref().map(|s| ("retry-after", s)));
    let unread = RequestHead::default();
    let body = body.to_string();
    let head_or_none = head.unwrap_or(&unread);
    let next = whole(client, head_or_none, status, "application/problem+json", &headers, body.as_bytes()).await;
    if head.is_none() { Next::Linger } else { next }
}

async fn whole(
    client: &mut Client,
    head: &RequestHead,
    status: u16,
    content_type: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Next {
    let mut reply = Reply::to(head, client.is_head_request, client.conn.buffers().clone());
    reply.status(status);
    reply.field("content-type", content_type.as_bytes());
    for (name, value) in headers {
        reply.foreign_field(name, value.as_bytes());
    }
    if !client.conn.body_done() {
        reply.close();
    }
    reply.begin(Some(body.len() as u64));
    match reply.end(client, &[body]).await {
        Ok(()) => reply.next(),
        Err(_) => Next::Close,
    }
}
