//! A gateway between real loopback sockets, for tests: an engine, its ports, a tiny upstream, a blunt client.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use penstock_core::{
    clock::Clock,
    server::{Engine, Options, Role},
};
use serde_json::{Value, json};

use crate::document::{bytes, minimal, model, provider};

/// How long anything may take before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Asks again and again until something is there.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let clock = Clock::System;
    let give_up = clock.boot_us() + u64::try_from(DEADLINE.as_micros()).unwrap();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(clock.boot_us() < give_up, "in vain: {what}");
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// A provider of few words: answers every request with the same bytes, once the gate is open.
pub(crate) struct Upstream {
    pub(crate) port: u16,
    pub(crate) asked: Arc<AtomicUsize>,
    pub(crate) open: Arc<AtomicBool>,
    /// What it was sent, heads and bodies.
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
    pub(crate) answer: Arc<Mutex<String>>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) const ANSWER: &str = r#"{"id":"x","object":"chat.completion","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;

impl Upstream {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, open, end) = <(Arc<AtomicUsize>, Arc<AtomicBool>, Arc<AtomicBool>)>::default();
        open.store(true, SeqCst);
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let answer = Arc::new(Mutex::new(json_answer(200, ANSWER)));
        let all = (asked.clone(), open.clone(), end.clone(), seen.clone(), answer.clone());
        let thread = thread::spawn(move || {
            let mut serving = Vec::new();
            for stream in listener.incoming() {
                if all.2.load(SeqCst) {
                    break;
                }
                let (asked, open, end, seen, answer) = all.clone();
                let converse = move |s| converse(s, &asked, &open, &end, &seen, &answer);
                serving.push(thread::spawn(move || stream.and_then(converse)));
                serving.retain(|s: &JoinHandle<_>| !s.is_finished());
            }
            serving.into_iter().for_each(|s| drop(s.join()));
        });
        Self { port, asked, open, seen, answer, end, thread: Some(thread) }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.end.store(true, SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A whole answer with a body of JSON.
pub(crate) fn json_answer(status: u16, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn converse(
    mut stream: TcpStream,
    asked: &AtomicUsize,
    open: &AtomicBool,
    end: &AtomicBool,
    seen: &Mutex<Vec<String>>,
    answer: &Mutex<String>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_millis(20)))?;
    let mut held = Vec::new();
    while let Some((request, rest)) = message(&mut stream, &mut held, || end.load(SeqCst))? {
        held = rest;
        seen.lock().unwrap().push(String::from_utf8(request).unwrap());
        asked.fetch_add(1, SeqCst);
        while !open.load(SeqCst) && !end.load(SeqCst) {
            thread::park_timeout(Duration::from_millis(1));
        }
        let answer = answer.lock().unwrap().clone();
        stream.write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// Reads one message with a length; what follows it is returned too. `None`: the other side has ended.
fn message(
    stream: &mut TcpStream,
    held: &mut Vec<u8>,
    give_up: impl Fn() -> bool,
) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let mut piece = [0; 4096];
    loop {
        if let Some(head) = held.windows(4).position(|w| w == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&held[..head]).to_ascii_lowercase();
            let length =
                text.lines().find_map(|l| l.strip_prefix("content-length: ")).map_or(0, |n| n.trim().parse().unwrap());
            if held.len() >= head + 4 + length {
                let rest = held.split_off(head + 4 + length);
                return Ok(Some((std::mem::take(held), rest)));
            }
        }
        match stream.read(&mut piece) {
            Ok(0) => return Ok(None),
            Ok(n) => held.extend_from_slice(&piece[..n]),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) && !give_up() => {}
            Err(e) => return Err(e),
        }
    }
}

/// An answer as it came.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// One connection of a client.
pub(crate) struct Client(TcpStream);

impl Client {
    pub(crate) fn connect(to: SocketAddr) -> Self {
        Self::try_connect(to).unwrap()
    }

    pub(crate) fn try_connect(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&to, DEADLINE)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    pub(crate) fn send(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(text.as_bytes())
    }

    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let Some((bytes, rest)) = message(&mut self.0, &mut Vec::new(), || true)? else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        assert!(rest.is_empty(), "more than one answer");
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Ok(Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
    }

    pub(crate) fn ask(&mut self, text: &str) -> io::Result<Answer> {
        self.send(text)?;
        self.answer()
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: penstock.test\r\n\r\n")).unwrap()
    }

    /// Waits for the other side's end; an error unless it comes without a byte before.
    pub(crate) fn is_ended(&mut self) -> bool {
        match self.0.read(&mut [0]) {
            Ok(n) => n == 0,
            Err(e) => e.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    /// Whatever has come until it holds `what`.
    pub(crate) fn read_until(&mut self, what: &str) -> String {
        let (mut text, mut piece) = (String::new(), [0; 4096]);
        while !text.contains(what) {
            let n = self.0.read(&mut piece).unwrap();
            assert!(n > 0, "the other side ended without {what}: {text}");
            text.push_str(std::str::from_utf8(&piece[..n]).unwrap());
        }
        text
    }

    /// Everything up to the other side's end.
    pub(crate) fn rest(&mut self) -> String {
        let mut text = String::new();
        self.0.read_to_string(&mut text).unwrap();
        text
    }

    /// It sends nothing more.
    pub(crate) fn end(&self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }

    pub(crate) fn leave(&self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// A chat request for a model.
pub(crate) fn chat(model: &str) -> String {
    post(&json!({"model": model, "messages": []}))
}

/// One whose body is large enough to be counted against the budget of bytes.
pub(crate) fn heavy() -> String {
    post(&json!({"model": "fast", "messages": [], "pad": "x".repeat(8_000)}))
}

fn post(body: &Value) -> String {
    let body = body.to_string();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: penstock.test\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A document with the model `fast` at an upstream.
pub(crate) fn document(port: u16) -> Value {
    let mut document = minimal();
    document["providers"] = json!([provider("up", port)]);
    document["models"] = json!([model("fast", "up", Some("real"))]);
    document
}

/// An engine with a data and an admin port.
pub(crate) struct House {
    pub(crate) engine: Engine,
    pub(crate) data: SocketAddr,
    pub(crate) admin: SocketAddr,
}

fn listen() -> (OwnedFd, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    (listener.into(), at)
}

pub(crate) fn engine(workers: usize, max_connections: u64) -> Engine {
    engine_with(workers, max_connections, &json!({}))
}

/// An engine with further options.
pub(crate) fn engine_with(workers: usize, max_connections: u64, more: &Value) -> Engine {
    let log = json!({"level": "error", "format": "json"});
    let mut options = json!({"workers": workers, "max_connections": max_connections, "log": log, "instance": "test"});
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    Engine::new(serde_json::from_value::<Options>(options).unwrap()).unwrap()
}

impl House {
    pub(crate) fn start(document: &Value, workers: usize, max_connections: u64) -> Self {
        Self::start_with(document, workers, max_connections, &json!({}))
    }

    pub(crate) fn start_with(document: &Value, workers: usize, max_connections: u64, options: &Value) -> Self {
        let engine = engine_with(workers, max_connections, options);
        let ((data_fd, data), (admin_fd, admin)) = (listen(), listen());
        engine.start(&bytes(document), vec![(data_fd, Role::Data), (admin_fd, Role::Admin)]).unwrap();
        Self { engine, data, admin }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.data)
    }

    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.engine.status()).unwrap()
    }

    /// A sample of `/metrics`, by its beginning.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let page = Client::connect(self.admin).get("/metrics").body;
        let line = page.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
        line.trim().parse().unwrap()
    }

    pub(crate) fn stop(&self) {
        assert!(self.engine.stop(DEADLINE), "a thread did not end");
    }
}
