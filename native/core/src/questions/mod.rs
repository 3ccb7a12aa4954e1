//! Questions that native asks Python: a bounded ring, an eventfd to wake the loop, and a deadline for each answer.

mod counts;
mod eventfd;
mod pending;
mod ring;
mod sync;

use std::{
    fmt, io,
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
    /// Whether a secret is right: `{"key","secret","digest","client"}`; answered by `{"verdict","retry_after_ms"}`.
    Verify = 2,
    /// Leases of limits that nodes share, `[{"tag","args"}, …]`; answered by as many lists of numbers or `null`.
    Lease = 3,
    /// What a key has spent: `{"key"}`; answered by the object that `GET /v1/key` shows, or `null`.
    Spend = 4,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Noop, Self::Admin, Self::Verify, Self::Lease, Self::Spend];

    /// The value of the label `kind`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Noop => "noop",
            Self::Admin => "admin",
            Self::Verify => "verify",
            Self::Lease => "lease",
            Self::Spend => "spend",
        }
    }
}

/// One question on its way to Python. A payload may hold a secret: `Debug` shows none.
pub struct Question {
    pub id: u64,
    pub kind: Kind,
    pub payload: Vec<u8>,
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
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
    /// One for each kind: however many of one kind wait, the others have their room.
    lanes: [Lane; Kind::ALL.len()],
    wake: EventFd,
    counts: Counts,
}

/// The questions of one kind.
struct Lane {
    ring: Ring<Question>,
    pending: Pending<oneshot::Sender<Vec<u8>>>,
}

impl Questions {
    /// At most `most` questions of each kind wait at a time; more are refused with [`AskError::Full`].
    pub fn new(most: impl Fn(Kind) -> usize) -> io::Result<Self> {
        let lane = |kind| Lane { ring: Ring::new(most(kind)), pending: Pending::new(most(kind)) };
        Ok(Self { lanes: Kind::ALL.map(lane), wake: EventFd::new()?, counts: Counts::default() })
    }

    /// Asks and waits for the answer, at most `deadline`. Dropping the future takes the question back.
    pub async fn ask(&self, kind: Kind, payload: Vec<u8>, deadline: Duration) -> Result<Vec<u8>, AskError> {
        let mut asked = Asked { questions: self, kind, id: None, outcome: Outcome::Cancelled };
        let result = asked.run(payload, deadline).await;
        asked.outcome = Outcome::of(&result);
        result
    }

    /// Everything that waits to be answered, of each kind the oldest first; silences the descriptor. What nobody waits
    /// for any more is left out.
    pub fn drain(&self) -> Vec<Question> {
        // The descriptor before the rings: a signal that this read swallows belongs to a question that the drain sees.
        self.wake.clear();
        let mut questions = Vec::new();
        for lane in &self.lanes {
            questions.append(&mut lane.ring.drain());
        }
        questions.retain(|question| {
            let (lane, number) = self.lane(question.id);
            lane.pending.contains(number)
        });
        questions
    }

    /// Delivers an answer. `false`: nobody waits for it (late, answered before, or never asked) and it is dropped.
    pub fn answer(&self, id: u64, payload: Vec<u8>) -> bool {
        let (lane, number) = self.lane(id);
        lane.pending.take(number).is_some_and(|waiter| waiter.send(payload).is_ok())
    }

    /// Ends every wait with [`AskError::Closed`], and every later one at once.
    pub fn close(&self) {
        self.lanes.iter().for_each(|lane| drop(lane.pending.close()));
    }

    /// How many wait for an answer now.
    pub fn waiting(&self) -> usize {
        self.lanes.iter().map(|lane| lane.pending.len()).sum()
    }

    /// The lane of a question and its number there: ids of different kinds interleave.
    fn lane(&self, id: u64) -> (&Lane, u64) {
        let kinds = Kind::ALL.len() as u64;
        (&self.lanes[(id % kinds) as usize], id / kinds)
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
        let lane = &self.questions.lanes[self.kind as usize];
        let number = lane.pending.insert(sender).map_err(|refused| match refused {
            Refused::Full => AskError::Full,
            Refused::Closed => AskError::Closed,
        })?;
        let id = number * Kind::ALL.len() as u64 + self.kind as u64;
        self.id = Some(id);
        match lane.ring.push(Question { id, kind: self.kind, payload }) {
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
            let (lane, number) = self.questions.lane(id);
            lane.pending.take(number);
        }
        self.questions.counts.add(self.kind, self.outcome);
    }
}
