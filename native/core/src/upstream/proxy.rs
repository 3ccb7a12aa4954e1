//! Tunnels through HTTP proxies (RFC 9110 §9.3.6).

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A proxy's answer head may not be larger.
const HEAD_MAX: usize = 8 * 1024;
const HEADERS_MAX: usize = 64;

/// Asks the proxy at the other end for a tunnel to `authority` (host and port). An error says why there is none.
pub(super) async fn tunnel<S>(io: &mut S, authority: &str, authorization: Option<&str>) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n");
    if let Some(value) = authorization {
        if value.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return Err("its credentials hold a control character".to_owned());
        }
        request.push_str("proxy-authorization: ");
        request.push_str(value);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    io.write_all(request.as_bytes()).await.map_err(|error| cut(&error))?;
    io.flush().await.map_err(|error| cut(&error))?;

    let mut answer = Vec::with_capacity(1024);
    loop {
        if io.read_buf(&mut answer).await.map_err(|error| cut(&error))? == 0 {
            return Err("it closed the connection instead of answering CONNECT".to_owned());
        }
        if let Some(verdict) = judge(&answer) {
            return verdict;
        }
        if answer.len() >= HEAD_MAX {
            return Err("its answer to CONNECT is too large".to_owned());
        }
    }
}

/// What the proxy said, once its head is complete.
fn judge(answer: &[u8]) -> Option<Result<(), String>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let length = match head.parse(answer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return None,
        Err(error) => return Some(Err(format!("its answer to CONNECT is not HTTP: {error}"))),
    };
    Some(match head.code.unwrap_or_default() {
        // In TLS the client speaks first: nothing may follow yet, and a length means nothing here.
        200..=299 if length == answer.len() => Ok(()),
        200..=299 => Err("it sent something before the tunnel was used".to_owned()),
        407 => Err("it asks for credentials (407): put user and password into the proxy's address".to_owned()),
        code => Err(format!("it refused the tunnel: {code} {}", head.reason.unwrap_or_default())),
    })
}

fn cut(error: &io::Error) -> String {
    format!("the connection broke during CONNECT: {error}")
}
