//! The phases of a request, one file each, in the order of the README diagram.

mod admit;
mod allowed;
mod asked;
mod attempt;
mod attempts;
mod authenticate;
mod body;
mod call;
pub mod client_address;
pub mod content;
mod count;
mod counted;
pub mod credential;
pub mod endpoint;
pub mod estimate;
mod facts;
mod guard;
pub mod ids;
mod key;
mod limit_text;
pub mod models;
pub mod multipart;
pub mod outbound;
mod patience;
mod plan;
mod read;
mod relayed;
mod reply;
mod respond;
pub mod scan;
pub mod splice;
mod standing;
mod upload;
pub mod verify;

use std::rc::Rc;

use crate::{
    error::Error,
    server::{
        connection::{Client, Next},
        worker::Worker,
    },
};

pub use authenticate::{Principal, check_origin};
pub use count::Counting;
pub use counted::Asks;
pub use counted::Stated;
pub use guard::{Guard, Said};
pub use read::{Arrived, Held, read_body, read_head};
pub use reply::Reply;

/// The client left, or takes nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Why a request goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    Refused(Error),
    Gone,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

/// Serves one request of the data port; says what becomes of the connection.
pub async fn serve(client: &mut Client, worker: &Rc<Worker>) -> Next {
    let mut scratch = worker.take_scratch();
    let next = call::serve(client, worker, &mut scratch).await;
    scratch.record.clear();
    worker.give_scratch(scratch);
    next
}
