//! Moves an answer from the upstream to the client, frame by frame.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

pub mod decompress;
mod flow;
pub mod frames;
pub mod peek;
pub mod source;
mod sse;
pub mod stream;
pub mod tap;
pub mod whole;

use crate::server::connection::Client;

/// What ended a wait.
pub enum Watched<T> {
    Done(T),
    /// The client left.
    Gone,
    /// The client's timer fired.
    Late,
}

/// Polls `work` while the client stays and its timer has not fired.
pub async fn watch<T>(client: &mut Client, mut work: Pin<&mut impl Future<Output = T>>) -> Watched<T> {
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Watched::Done(done));
        }
        if client.conn.poll_departed(cx).is_ready() {
            return Poll::Ready(Watched::Gone);
        }
        client.timer.poll(cx).map(|()| Watched::Late)
    })
    .await
}
