//! One client connection: sends the prepared request, reads and checks its answer.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::{
    Outcome,
    answer::{self, Stamps},
    clock::now_ns,
    drive::{body::Body, plan::Plan},
};

/// Connections from one loopback address; well below the range of ephemeral ports.
const PER_ADDRESS: usize = 5000;

pub(crate) struct Client {
    io: TcpStream,
    buffer: Vec<u8>,
    /// Whether the server said that it closes this connection.
    closes: bool,
}

/// What may come where refusals are no error.
pub(crate) enum Reply {
    Answered(Answered),
    Refused { status: u16, text: String },
}

/// A checked unstreamed answer.
pub(crate) struct Answered {
    pub(crate) stamps: Stamps,
    pub(crate) done_ns: u64,
}

/// A content frame, checked, and when it was read.
pub(crate) struct Frame {
    pub(crate) number: u32,
    pub(crate) stamps: Stamps,
    pub(crate) read_ns: u64,
}

impl Client {
    /// Connection number `n` of this run; every 5,000 have a source address of their own.
    pub(crate) async fn connect(target: SocketAddr, n: usize) -> Outcome<Self> {
        let socket = TcpSocket::new_v4()?;
        if n >= PER_ADDRESS {
            let source = Ipv4Addr::new(127, 0, 0, u8::try_from(2 + n / PER_ADDRESS)?);
            socket.bind(SocketAddr::from((source, 0)))?;
        }
        let io = socket.connect(target).await.map_err(|e| format!("connect {target}: {e}"))?;
        io.set_nodelay(true)?;
        // Ten thousand connections left in TIME_WAIT by each run would use up the ports.
        SockRef::from(&io).set_linger(Some(Duration::ZERO))?;
        Ok(Self { io, buffer: Vec::new(), closes: false })
    }

    /// One request and its whole answer; a refusal is an error.
    pub(crate) async fn ask(&mut self, plan: &Plan) -> Outcome<Answered> {
        match self.try_ask(&plan.request, plan).await? {
            Reply::Answered(answered) => Ok(answered),
            Reply::Refused { status, text } => Err(format!("not a 200 but {status}: {text}").into()),
        }
    }

    /// One request, prepared by the plan, and its whole answer, whether that is the one that was wished or a refusal.
    pub(crate) async fn try_ask(&mut self, request: &[u8], plan: &Plan) -> Outcome<Reply> {
        self.io.write_all(request).await?;
        let Head { status, mut body } = self.head().await?;
        self.buffer.reserve(plan.expected.len());
        while !body.advance(&mut self.buffer)? {
            self.more().await?;
        }
        let done_ns = now_ns();
        let payload = &self.buffer[..body.payload()];
        let reply = if status == 200 {
            let check = if plan.rewritten { answer::check_rewritten } else { answer::check_whole };
            let stamps = check(payload, &plan.expected);
            let stamps = stamps.ok_or_else(|| format!("not the answer that was wished: {}", excerpt(payload)))?;
            Reply::Answered(Answered { stamps, done_ns })
        } else {
            Reply::Refused { status, text: excerpt(payload) }
        };
        body.finish(&mut self.buffer)?;
        Ok(reply)
    }

    /// Whether more may be asked on this connection.
    pub(crate) fn is_open(&self) -> bool {
        !self.closes
    }

    /// One streamed request; `seen` is called for each content frame as it comes. The end is checked.
    pub(crate) async fn stream(&mut self, plan: &Plan, mut seen: impl FnMut(Frame)) -> Outcome<()> {
        self.io.write_all(&plan.request).await?;
        let Head { status, mut body } = self.head().await?;
        if status != 200 {
            return Err(format!("not a 200 but {status}: {}", excerpt(&self.buffer)).into());
        }
        let mut read_ns = now_ns();
        let (mut at, mut number) = (0, 0);
        loop {
            let done = body.advance(&mut self.buffer)?;
            while let Some(length) = memchr::memmem::find(&self.buffer[at..body.payload()], b"\n\n") {
                let frame = &self.buffer[at..at + length + 2];
                at += length + 2;
                if number < plan.wish.chunks {
                    let stamps = answer::check_frame(frame, number);
                    let stamps = stamps.ok_or_else(|| format!("not frame {number}: {}", excerpt(frame)))?;
                    seen(Frame { number, stamps, read_ns });
                } else {
                    let wanted = [answer::FINISH, answer::DONE].get((number - plan.wish.chunks) as usize);
                    if wanted != Some(&frame) {
                        return Err(format!("frame {number} should not be: {}", excerpt(frame)).into());
                    }
                }
                number += 1;
            }
            if done {
                break;
            }
            self.more().await?;
            read_ns = now_ns();
        }
        if number != plan.wish.chunks + 2 || at != body.payload() {
            return Err(format!("the stream ended after {number} frames of {}", plan.wish.chunks + 2).into());
        }
        body.finish(&mut self.buffer)
    }

    /// Reads a head and takes it off the buffer. Only with a refusal may the connection end.
    async fn head(&mut self) -> Outcome<Head> {
        loop {
            if let Some((head, length, closes)) = parse(&self.buffer)? {
                self.buffer.drain(..length);
                self.closes = closes;
                return Ok(head);
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        self.buffer.reserve(2048);
        match self.io.read_buf(&mut self.buffer).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed inside an answer")),
            _ => Ok(()),
        }
    }

    /// Drops the buffer of a connection that will be idle for long.
    pub(crate) fn rest(&mut self) {
        self.buffer = Vec::new();
    }
}

struct Head {
    status: u16,
    body: Body,
}

/// A head, its length, and whether it announces the connection's end.
fn parse(bytes: &[u8]) -> Outcome<Option<(Head, usize, bool)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(bytes)? else { return Ok(None) };
    let status = response.code.ok_or("an answer without a status")?;
    let (mut body, mut closes) = (None, false);
    for field in response.headers.iter() {
        let value = std::str::from_utf8(field.value)?;
        if field.name.eq_ignore_ascii_case("content-length") {
            body = Some(Body::fixed(value.parse()?));
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            body = Some(Body::chunked());
        } else if field.name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close") {
            closes = true;
        }
    }
    if closes && status == 200 {
        return Err("the answer closes the connection, which nobody asked for".into());
    }
    let body = body.ok_or("the answer's body has no length")?;
    Ok(Some((Head { status, body }, length, closes)))
}

fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned()
}
