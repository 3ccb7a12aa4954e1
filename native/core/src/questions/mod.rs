//! Questions that native asks Python: a bounded ring, an eventfd to wake the loop, and a deadline for each answer.

mod counts;
mod eventfd;
mod pending;
mod ring;
mod sync;

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use tokio::sync::oneshot;

pub use self::counts::{Counts, Outcome};
use self::{
    eventfd::EventFd,
    pending::{Pending, Refused},
    ring::Ring,
};

/// What a question is about; the number is what Python sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Nothing: measures how long the Python loop takes to answer.
    Noop = 0,
    /// A request on the admin port. Payload: one JSON line `{"method","path","query","headers"}`, a newline, the body.
    Admin = 1,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Noop, Self::Admin];

    /// The value of the label `kind`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Noop => "noop",
            Self::Admin => "admin",
        }
    }
}

/// One question on its way to Python.
#[derive(Debug)]
pub struct Question {
    pub id: u64,
    pub kind: Kind,
    pub payload: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    #[error("too many questions wait for an answer")]
    Full,
    #[error("no answer came in time")]
    Timeout,
    #[error("nobody answers questions any more")]
    Closed,
}

/// The crossing itself, shared by all workers and the thread that answers.
pub struct Questions {
    ring: Ring<Question>,
    pending: Pending<oneshot::Sender<Vec<u8>>>,
    wake: EventFd,
    counts: Counts,
}

impl Questions {
    /// At most `capacity` questions wait at a time; more are refused with [`AskError::Full`].
    pub fn new(capacity: usize) -> io::Result<Self> {
        Ok(Self {
            ring: Ring::new(capacity),
            pending: Pending::new(capacity),
            wake: EventFd::new()?,
            counts: Counts::default(),
        })
    }

    /// Asks and waits for the answer, at most `deadline`. Dropping the future takes the question back.
    pub async fn ask(&self, kind: Kind, payload: Vec<u8>, deadline: Duration) -> Result<Vec<u8>, AskError> {
        let mut asked = Asked { questions: self, kind, id: None, outcome: Outcome::Cancelled };
        let result = asked.run(payload, deadline).await;
        asked.outcome = Outcome::of(&result);
        result
    }

    /// Everything that waits to be answered, oldest first; silences the descriptor. What nobody waits for any more is
    /// left out.
    pub fn drain(&self) -> Vec<Question> {
        // The descriptor before the ring: a signal that this read swallows belongs to a question that the drain sees.
        self.wake.clear();
        let mut questions = self.ring.drain();
        questions.retain(|question| self.pending.contains(question.id));
        questions
    }

    /// Delivers an answer. `false`: nobody waits for it (late, answered before, or never asked) and it is dropped.
    pub fn answer(&self, id: u64, payload: Vec<u8>) -> bool {
        self.pending.take(id).is_some_and(|waiter| waiter.send(payload).is_ok())
    }

    /// Ends every wait with [`AskError::Closed`], and every later one at once.
    pub fn close(&self) {
        drop(self.pending.close());
    }

    /// How many wait for an answer now.
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// How questions ended so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }
}

impl AsFd for Questions {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// One question from asking to its end; dropped half way, it leaves nothing behind.
struct Asked<'a> {
    questions: &'a Questions,
    kind: Kind,
    id: Option<u64>,
    outcome: Outcome,
}

impl Asked<'_> {
    async fn run(&mut self, payload: Vec<u8>, deadline: Duration) -> Result<Vec<u8>, AskError> {
        let (sender, receiver) = oneshot::channel();
        let id = self.questions.pending.insert(sender).map_err(|refused| match refused {
            Refused::Full => AskError::Full,
            Refused::Closed => AskError::Closed,
        })?;
        self.id = Some(id);
        match self.questions.ring.push(Question { id, kind: self.kind, payload }) {
            Ok(true) => self.questions.wake.signal(),
            Ok(false) => {}
            Err(_) => return Err(AskError::Full),
        }
        match tokio::time::timeout(deadline, receiver).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(AskError::Closed),
            Err(_) => Err(AskError::Timeout),
        }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.questions.pending.take(id);
        }
        self.questions.counts.add(self.kind, self.outcome);
    }
}
