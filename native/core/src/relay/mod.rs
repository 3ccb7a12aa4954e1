//! Moves an answer from the upstream to the client, frame by frame.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

mod alike;
mod choices;
pub mod decompress;
mod flow;
pub mod frames;
pub mod peek;
pub mod source;
mod sse;
pub mod stream;
pub mod tap;
pub mod text;
pub mod whole;

use crate::{
    error::Code,
    observe::record::Outcome,
    server::{connection::Client, timer::Timer},
};

/// How often a client that has sent too much ahead is looked at: nothing more is read that would tell of its departure.
const LOOK_EVERY_MS: u64 = 500;

/// How the relay of an answer ended.
pub struct Passed {
    pub outcome: Outcome,
    pub error: Option<Code>,
    /// The longest silence of the upstream in the middle of a stream.
    pub longest_gap_us: u64,
    /// The client's connection is of no further use: its answer stops in the middle.
    pub broken: bool,
    /// The upstream of an answer that is whole; any other was let go before what passed is counted.
    pub source: Option<source::Source>,
}

impl Default for Passed {
    /// All of it, without a fault.
    fn default() -> Self {
        Self { outcome: Outcome::Complete, error: None, longest_gap_us: 0, broken: false, source: None }
    }
}

/// What ended a wait.
pub enum Watched<T> {
    Done(T),
    /// The client left, or its key was cut.
    Gone,
    /// The client's timer fired.
    Late,
}

/// Polls `work` while the client stays and its timer has not fired.
pub async fn watch<T>(client: &mut Client, mut work: Pin<&mut impl Future<Output = T>>) -> Watched<T> {
    let mut look = None;
    poll_fn(|cx| {
        if client.poll_cut(cx) {
            return Poll::Ready(Watched::Gone);
        }
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Watched::Done(done));
        }
        if client.conn.poll_departed(cx).is_ready() || client.conn.is_full() && has_left(client, &mut look, cx) {
            return Poll::Ready(Watched::Gone);
        }
        client.timer.poll(cx).map(|()| Watched::Late)
    })
    .await
}

/// Whether a client whose bytes are no longer read has left; has the task woken for the next look.
fn has_left(client: &Client, look: &mut Option<Timer>, cx: &mut Context<'_>) -> bool {
    if client.conn.io().has_left() {
        return true;
    }
    let timer = look.get_or_insert_with(Timer::default);
    timer.set(LOOK_EVERY_MS);
    timer.poll(cx).is_ready() // never so soon
}
