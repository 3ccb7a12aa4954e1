//! The mock upstream: fast, on bare sockets, and honest about its own time through the stamps in its answers.

use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    path::Path,
    thread,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime,
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::{LocalSet, spawn_local},
    time::sleep_until,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    Outcome,
    answer::{self, Stamps},
    args::Args,
    clock::now_ns,
    tls,
    wish::Wish,
};

const STREAM_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
    cache-control: no-cache\r\nx-request-id: req_mock\r\ntransfer-encoding: chunked\r\n\r\n";
const EMPTY_LIST: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 27\r\n\r\n\
    {\"object\":\"list\",\"data\":[]}";
const REFUSAL: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A connection for a worker; `true`: TLS.
type Handed = (std::net::TcpStream, bool);

pub(crate) fn run(args: &Args) -> Outcome<()> {
    let acceptor = tls::acceptor(Path::new(&args.need::<String>("tls-ca")?))?;
    let workers: Vec<_> = (0..args.or("threads", 2_usize)?.max(1))
        .map(|_| {
            let (sender, receiver) = mpsc::unbounded_channel();
            let acceptor = acceptor.clone();
            thread::spawn(move || work(receiver, acceptor));
            sender
        })
        .collect();
    // Whoever started this holds the other end of the pipe; when it goes, so does the mock.
    thread::spawn(|| {
        drop(io::stdin().read_to_end(&mut Vec::new()));
        std::process::exit(0);
    });
    runtime::Builder::new_current_thread().enable_io().build()?.block_on(accept(&workers))
}

/// Connections are dealt in turn, so that the workers' loads are equal.
async fn accept(workers: &[UnboundedSender<Handed>]) -> Outcome<()> {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let (plain, secure) = (listen(loopback)?, listen(loopback)?);
    let ready = serde_json::json!({"plain": plain.local_addr()?.to_string(), "tls": secure.local_addr()?.to_string()});
    writeln!(io::stdout(), "{ready}")?;
    io::stdout().flush()?;
    let mut turn = 0;
    loop {
        let (socket, is_tls) = tokio::select! {
            a = plain.accept() => (a?.0, false),
            a = secure.accept() => (a?.0, true),
        };
        socket.set_nodelay(true)?;
        turn = (turn + 1) % workers.len();
        workers[turn].send((socket.into_std()?, is_tls)).map_err(|_| "a worker of the mock has ended")?;
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(address)?;
    socket.listen(4096)
}

fn work(mut handed: UnboundedReceiver<Handed>, acceptor: TlsAcceptor) {
    let Ok(runtime) = runtime::Builder::new_current_thread().enable_all().build() else { return };
    LocalSet::new().block_on(&runtime, async move {
        while let Some((socket, is_tls)) = handed.recv().await {
            let acceptor = acceptor.clone();
            // An error here is a client that left or spoke badly; the driver notices what matters.
            spawn_local(async move {
                let socket = TcpStream::from_std(socket)?;
                if is_tls { serve(acceptor.accept(socket).await?).await } else { serve(socket).await }
            });
        }
    });
}

struct Request {
    wish: Option<Wish>,
    usage: bool,
    received_ns: u64,
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut io: S) -> io::Result<()> {
    let (mut input, mut out) = (Vec::with_capacity(4096), Vec::new());
    let mut cached: (usize, Vec<u8>) = (0, Vec::new());
    while let Some(request) = read(&mut io, &mut input).await? {
        let Some(wish) = request.wish else {
            io.write_all(EMPTY_LIST).await?;
            continue;
        };
        if wish.chunks > 0 {
            stream(&mut io, wish, &request, &mut out).await?;
            continue;
        }
        if cached.0 != wish.bytes {
            cached = (wish.bytes, prepared(wish.bytes));
        }
        let at = cached.1.len() - wish.bytes.max(answer::whole(0).len());
        let stamps = answer::stamps_at();
        Stamps { received_ns: request.received_ns, sent_ns: now_ns() }
            .write(&mut cached.1[at + stamps.start..at + stamps.end]);
        io.write_all(&cached.1).await?;
        io.flush().await?;
    }
    Ok(())
}

fn prepared(bytes: usize) -> Vec<u8> {
    let body = answer::whole(bytes);
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_mock\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), &body].concat()
}

/// The next request, or `None` when the peer is done; its bytes leave `input`.
async fn read<S: AsyncRead + AsyncWrite + Unpin>(io: &mut S, input: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let (head, body) = loop {
        if io.read_buf(input).await? == 0 {
            return Ok(None);
        }
        match lengths(input) {
            Ok(None) => {}
            Ok(Some(found)) => break found,
            Err(error) => {
                io.write_all(REFUSAL).await?;
                return Err(error);
            }
        }
    };
    input.reserve((head + body).saturating_sub(input.len()));
    while input.len() < head + body {
        if io.read_buf(input).await? == 0 {
            return Ok(None);
        }
    }
    let received_ns = now_ns();
    let payload = &input[head..head + body];
    let wish = Wish::find(payload);
    let streamed = wish.is_some_and(|w| w.chunks > 0);
    let usage = streamed && memchr::memmem::find(payload, b"\"include_usage\":true").is_some();
    input.drain(..head + body);
    Ok(Some(Request { wish, usage, received_ns }))
}

/// Length of the head and of the body, once the head is whole.
fn lengths(bytes: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let refuse = |why: &'static str| io::Error::new(io::ErrorKind::InvalidData, why);
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(bytes).map_err(|_| refuse("not a request"))? else {
        return Ok(None);
    };
    let mut body = 0;
    for field in request.headers.iter() {
        if field.name.eq_ignore_ascii_case("content-length") {
            let digits = std::str::from_utf8(field.value).ok().and_then(|v| v.parse().ok());
            body = digits.ok_or_else(|| refuse("content-length is not a number"))?;
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(refuse("the mock takes only bodies of known length"));
        }
    }
    Ok(Some((head, body)))
}

/// The head at once, then one frame each `pace_ms`, then finish, usage if asked, end mark and terminal chunk together.
async fn stream<S: AsyncWrite + Unpin>(io: &mut S, wish: Wish, request: &Request, out: &mut Vec<u8>) -> io::Result<()> {
    io.write_all(STREAM_HEAD).await?;
    io.flush().await?;
    let pace = Duration::from_millis(wish.pace_ms);
    let mut due = tokio::time::Instant::now();
    for number in 0..wish.chunks {
        due += pace;
        sleep_until(due).await;
        out.clear();
        let stamps = Stamps { received_ns: request.received_ns, sent_ns: now_ns() };
        chunked(out, |out| answer::frame(stamps, number, out))?;
        io.write_all(out).await?;
        io.flush().await?;
    }
    out.clear();
    chunked(out, |out| out.extend_from_slice(answer::FINISH))?;
    if request.usage {
        chunked(out, |out| out.extend_from_slice(answer::USAGE))?;
    }
    chunked(out, |out| out.extend_from_slice(answer::DONE))?;
    out.extend_from_slice(b"0\r\n\r\n");
    io.write_all(out).await?;
    io.flush().await
}

/// What `fill` appends, as one HTTP chunk.
fn chunked(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
    let at = out.len();
    out.extend_from_slice(b"0000\r\n");
    fill(out);
    let length = out.len() - at - 6;
    write!(&mut out[at..at + 4], "{length:04x}")?;
    out.extend_from_slice(b"\r\n");
    Ok(())
}
