//! Log lines of the native side: one write on standard error each, filtered by a level that may change at any time.

use std::{
    io,
    os::fd::AsFd,
    sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
};

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub use super::log_line::{Field, Format, Value};
use super::{log_line::Line, repeats::Repeats};
use crate::clock::Clock;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Level {
    Error,
    #[serde(alias = "warn")]
    Warning,
    Info,
    Debug,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// The `log` section of the options and of every snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogOptions {
    pub level: Level,
    pub format: Format,
    /// Finished requests at level info, not debug.
    #[serde(default)]
    pub access: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { level: Level::Info, format: Format::Json, access: false }
    }
}

#[derive(Debug)]
enum Sink {
    Stderr,
    Memory(Mutex<Vec<u8>>),
}

/// Where lines go and which of them.
#[derive(Debug)]
pub struct Log {
    level: AtomicU8,
    text: AtomicBool,
    access: AtomicBool,
    clock: Clock,
    repeats: Repeats,
    dropped: AtomicU64,
    sink: Sink,
}

impl Log {
    pub fn new(options: LogOptions, clock: Clock) -> Self {
        Self::with(options, clock, Sink::Stderr)
    }

    /// Keeps its lines, for tests.
    pub fn in_memory(options: LogOptions, clock: Clock) -> Self {
        Self::with(options, clock, Sink::Memory(Mutex::default()))
    }

    fn with(options: LogOptions, clock: Clock, sink: Sink) -> Self {
        let log = Self {
            level: AtomicU8::new(0),
            text: AtomicBool::new(false),
            access: AtomicBool::new(false),
            clock,
            repeats: Repeats::default(),
            dropped: AtomicU64::new(0),
            sink,
        };
        log.set(options);
        log
    }

    /// Takes over new options, at a reload.
    pub fn set(&self, options: LogOptions) {
        self.level.store(options.level as u8, Ordering::Relaxed);
        self.text.store(options.format == Format::Text, Ordering::Relaxed);
        self.access.store(options.access, Ordering::Relaxed);
    }

    /// Whether a line of this level would be written: ask before collecting its fields.
    pub fn is_on(&self, level: Level) -> bool {
        level as u8 <= self.level.load(Ordering::Relaxed)
    }

    /// The level at which finished requests are written.
    pub fn request_level(&self) -> Level {
        if self.access.load(Ordering::Relaxed) { Level::Info } else { Level::Debug }
    }

    /// Writes a line. Errors and warnings that repeat are held back and counted in the next that is written.
    pub fn line(&self, level: Level, message: &str, fields: &[(&str, &dyn Field)]) {
        if !self.is_on(level) {
            return;
        }
        let mut held_back = 0;
        if level <= Level::Warning {
            match self.repeats.admit(message, self.clock.boot_us()) {
                Some(count) => held_back = count,
                None => return,
            }
        }
        let format = if self.text.load(Ordering::Relaxed) { Format::Text } else { Format::Json };
        let mut line = Line::new(format, self.clock.utc_us(), level.name(), message);
        for (name, value) in fields {
            line.field(name, value.value());
        }
        if held_back > 0 {
            line.field("repeats_held_back", Value::Number(held_back.into()));
        }
        self.write(&line.finish());
    }

    pub fn error(&self, message: &str, fields: &[(&str, &dyn Field)]) {
        self.line(Level::Error, message, fields);
    }

    pub fn warn(&self, message: &str, fields: &[(&str, &dyn Field)]) {
        self.line(Level::Warning, message, fields);
    }

    pub fn info(&self, message: &str, fields: &[(&str, &dyn Field)]) {
        self.line(Level::Info, message, fields);
    }

    pub fn debug(&self, message: &str, fields: &[(&str, &dyn Field)]) {
        self.line(Level::Debug, message, fields);
    }

    /// Lines that were lost because nobody read standard error.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// What was written so far, if it was kept.
    pub fn kept(&self) -> String {
        match &self.sink {
            Sink::Stderr => String::new(),
            Sink::Memory(lines) => String::from_utf8_lossy(&lines.lock()).into_owned(),
        }
    }

    fn write(&self, line: &[u8]) {
        match &self.sink {
            Sink::Stderr => {
                if !write_if_taken(io::stderr(), line) {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            Sink::Memory(lines) => lines.lock().extend_from_slice(line),
        }
    }
}

/// One write, unless it would have to wait for a reader: a worker must not. (A pipe that polls writable takes a page
/// without waiting; lines are shorter than that but for the rarest.)
fn write_if_taken(fd: impl AsFd, line: &[u8]) -> bool {
    let fd = fd.as_fd();
    let mut ready = [PollFd::new(&fd, PollFlags::OUT)];
    matches!(poll(&mut ready, Some(&Timespec::default())), Ok(1))
        && matches!(rustix::io::write(fd, line), Ok(written) if written == line.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(level: Level) -> Log {
        Log::in_memory(LogOptions { level, ..LogOptions::default() }, Clock::Manual(std::sync::Arc::default()))
    }

    #[test]
    fn a_line_below_the_level_is_not_written_until_a_reload_asks_for_it() {
        let log = log(Level::Warning);
        log.info("one", &[]);
        assert_eq!(log.kept(), "");
        log.set(LogOptions { level: Level::Debug, format: Format::Text, access: true });
        log.debug("two", &[("n", &2_u64)]);
        assert!(log.kept().ends_with("debug   native: two n=2\n"), "{}", log.kept());
        assert_eq!(log.request_level(), Level::Info);
    }

    #[test]
    fn errors_that_repeat_are_held_back_and_requests_are_not() {
        let log = log(Level::Debug);
        for _ in 0..100 {
            log.error("no room", &[]);
            log.debug("request", &[]);
        }
        assert_eq!(log.kept().matches("no room").count(), 10);
        assert_eq!(log.kept().matches("\"request\"").count(), 100);
    }

    #[test]
    fn a_pipe_that_nobody_reads_costs_lines_and_no_wait() {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let line = [b'x'; 1_000];
        let taken = (0..1_000).take_while(|_| write_if_taken(&writer, &line)).count();
        assert!((1..1_000).contains(&taken));
        drop(reader);
    }

    #[test]
    fn unknown_options_are_refused() {
        let read = serde_json::from_str::<LogOptions>(r#"{"level":"warn","format":"text","colour":true}"#);
        assert!(read.is_err());
        let read = serde_json::from_str::<LogOptions>(r#"{"level":"warn","format":"text"}"#);
        assert_eq!(read.expect("valid").level, Level::Warning);
    }
}
