//! Listeners, workers and the connection task.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde::Deserialize;

use crate::questions::{Question, Questions};

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Data,
    Admin,
}

impl Role {
    /// `data` or `admin`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "data" => Some(Self::Data),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }
}

/// What is fixed for the life of a process.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    pub workers: usize,
    pub max_connections: usize,
    pub log: serde_json::Value,
    pub instance: String,
}

/// The data plane.
pub struct Engine {
    questions: Questions,
    options: Options,
    started: AtomicBool,
}

impl Engine {
    pub fn new(options: Options) -> Result<Self, String> {
        let questions = Questions::new(64).map_err(|e| e.to_string())?;
        Ok(Self { questions, options, started: AtomicBool::new(false) })
    }

    pub fn question_fd(&self) -> BorrowedFd<'_> {
        self.questions.as_fd()
    }

    pub fn start(&self, snapshot: &[u8], _listeners: Vec<(OwnedFd, Role)>) -> Result<(), String> {
        self.apply(snapshot)?;
        self.started.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub fn apply(&self, snapshot: &[u8]) -> Result<(), String> {
        serde_json::from_slice::<serde_json::Value>(snapshot).map(drop).map_err(|e| e.to_string())
    }

    pub fn questions(&self) -> Vec<Question> {
        self.questions.drain()
    }

    pub fn answer(&self, id: u64, payload: Vec<u8>) -> bool {
        self.questions.answer(id, payload)
    }

    pub fn status(&self) -> String {
        serde_json::json!({ "workers": self.options.workers, "instance": self.options.instance }).to_string()
    }

    pub fn degraded(&self, _reasons: Vec<String>) {}

    pub fn drain(&self) {}

    pub fn close_listeners(&self) {}

    pub fn is_idle(&self) -> bool {
        true
    }

    pub fn stop(&self, _timeout: Duration) -> bool {
        self.questions.close();
        true
    }
}
