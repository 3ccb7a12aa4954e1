//! A secret that nobody has shown here yet: one question to Python for all requests that show it at the same time.

use std::{collections::HashMap, net::IpAddr, pin::pin, rc::Rc, sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::patience::{Patience, Place};
use crate::{
    keys::{Credential, Digest, KeyId, check::AWAY_MS},
    questions::{AskError, Kind},
    server::worker::Worker,
};

const DEADLINE: Duration = Duration::from_secs(30);
/// Requests that waited for one verdict go on one after the other, so far apart, for those of known keys to pass between
/// them. Beyond `MOST_APART` some go on together.
const APART: Duration = Duration::from_millis(1);
const MOST_APART: usize = 64;

/// What came of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The table has its digest now.
    Right,
    Wrong,
    /// Too many wrong ones of this key from this address.
    Slow {
        retry_after_ms: u64,
    },
    /// It cannot be told now.
    Away {
        retry_after_ms: u64,
    },
    /// Too many wait already.
    Full,
    /// Nobody answers any more.
    Closed,
}

/// What a verification is about: a secret of a key, and who shows it if the verdict is for those at one address alone.
type Secret = (KeyId, [u8; Digest::BYTES], Askers);
type Answer = watch::Sender<Option<Verdict>>;

/// Whom a verdict is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Askers {
    All,
    At(Option<IpAddr>),
}

/// The verifications that are under way in the process.
#[derive(Default)]
pub struct Flights {
    by_secret: Mutex<HashMap<Secret, Arc<Answer>>>,
    patience: Patience,
}

#[derive(Serialize)]
struct Asked<'a> {
    key: &'a str,
    secret: &'a str,
    digest: String,
    client: Option<IpAddr>,
}

#[derive(Deserialize)]
struct Answered {
    verdict: Word,
    retry_after_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Right,
    Wrong,
    Slow,
    Away,
}

/// Waits for the verdict on a credential, and asks for it if nobody has yet. That somebody else's address must wait says
/// nothing about ours: then ours is asked about. Dropping the future takes the question back unless others wait for it too.
pub async fn verify(
    worker: &Rc<Worker>,
    credential: &Credential<'_>,
    digest: &Digest,
    client: Option<IpAddr>,
) -> Verdict {
    let waiting = join(worker, credential, digest, client, Askers::All);
    let is_ours = waiting.before == 0;
    match told(waiting).await {
        Verdict::Slow { .. } if !is_ours => told(join(worker, credential, digest, client, Askers::At(client))).await,
        verdict => verdict,
    }
}

/// An answer to come.
struct Waiting {
    answer: watch::Receiver<Option<Verdict>>,
    /// How many waited for it already; 0: the question is our own.
    before: usize,
}

async fn told(mut waiting: Waiting) -> Verdict {
    let verdict = waiting.answer.wait_for(Option::is_some).await.ok().and_then(|verdict| *verdict);
    if verdict == Some(Verdict::Right) && waiting.before > 0 {
        tokio::time::sleep(APART * u32::try_from(waiting.before % MOST_APART).unwrap_or(0)).await;
    }
    verdict.unwrap_or(Verdict::Closed)
}

/// Waits with those who show the same secret, or asks.
fn join(
    worker: &Rc<Worker>,
    credential: &Credential<'_>,
    digest: &Digest,
    client: Option<IpAddr>,
    askers: Askers,
) -> Waiting {
    let secret = (credential.id, *digest.bytes(), askers);
    let mut flights = worker.shared.flights.by_secret.lock();
    if let Some(answer) = flights.get(&secret) {
        // Whoever asked may have left: the question is still not ours.
        return Waiting { before: answer.receiver_count().max(1), answer: answer.subscribe() };
    }
    let place = (credential.id, client);
    if let Err(retry_after_ms) = worker.shared.flights.patience.begin(place, worker.clock().boot_us()) {
        return Waiting { answer: watch::channel(Some(Verdict::Slow { retry_after_ms })).1, before: 0 };
    }
    let (sender, answer) = watch::channel(None);
    let sender = Arc::new(sender);
    flights.insert(secret, sender.clone());
    drop(flights);
    let text = std::str::from_utf8(credential.text()).unwrap_or_default();
    let asked = Asked { key: credential.id.as_str(), secret: text, digest: digest.hex(), client };
    let payload = serde_json::to_vec(&asked).unwrap_or_default();
    let flight = Flight { worker: worker.clone(), secret, place, slow_ms: None, sender };
    // A task of its own: whoever asked first may leave first.
    worker.spawn(async move { flight.fly(payload).await });
    Waiting { answer, before: 0 }
}

/// One verification from its question to its answer.
struct Flight {
    worker: Rc<Worker>,
    secret: Secret,
    place: Place,
    /// What Python said of the place.
    slow_ms: Option<u64>,
    sender: Arc<Answer>,
}

impl Flight {
    async fn fly(mut self, payload: Vec<u8>) {
        let shared = self.worker.shared.clone();
        let mut asking = pin!(shared.questions.ask(Kind::Verify, payload, DEADLINE));
        loop {
            tokio::select! {
                answer = asking.as_mut() => {
                    let verdict = verdict(answer);
                    if let Verdict::Slow { retry_after_ms } = verdict {
                        self.slow_ms = Some(retry_after_ms);
                    }
                    self.sender.send_replace(Some(verdict));
                    return;
                }
                () = self.sender.closed() => {
                    let mut flights = shared.flights.by_secret.lock();
                    // Under the lock: nobody joins in between.
                    if self.sender.receiver_count() == 0 {
                        flights.remove(&self.secret);
                        return;
                    }
                }
            }
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let shared = &self.worker.shared;
        shared.flights.patience.end(self.place, self.slow_ms, shared.clock.boot_us());
        let mut flights = shared.flights.by_secret.lock();
        if flights.get(&self.secret).is_some_and(|other| Arc::ptr_eq(other, &self.sender)) {
            flights.remove(&self.secret);
        }
    }
}

fn verdict(answer: Result<Vec<u8>, AskError>) -> Verdict {
    let answer = match answer {
        Ok(answer) => answer,
        Err(AskError::Full) => return Verdict::Full,
        Err(AskError::Timeout) => return Verdict::Away { retry_after_ms: AWAY_MS },
        Err(AskError::Closed) => return Verdict::Closed,
    };
    let Ok(Answered { verdict, retry_after_ms }) = serde_json::from_slice(&answer) else {
        return Verdict::Away { retry_after_ms: AWAY_MS };
    };
    let retry_after_ms = retry_after_ms.unwrap_or(AWAY_MS);
    match verdict {
        Word::Right => Verdict::Right,
        Word::Wrong => Verdict::Wrong,
        Word::Slow => Verdict::Slow { retry_after_ms },
        Word::Away => Verdict::Away { retry_after_ms },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_in_which_no_answer_comes_is_told_apart() {
        let none = |error| verdict(Err(error));
        assert_eq!(none(AskError::Timeout), Verdict::Away { retry_after_ms: AWAY_MS });
        assert_eq!(none(AskError::Full), Verdict::Full);
        assert_eq!(none(AskError::Closed), Verdict::Closed);
    }

    #[test]
    fn an_answer_says_how_long_to_wait_or_one_second() {
        let said = |text: &str| verdict(Ok(text.as_bytes().to_vec()));
        assert_eq!(said(r#"{"verdict":"right","retry_after_ms":null}"#), Verdict::Right);
        assert_eq!(said(r#"{"verdict":"slow","retry_after_ms":8000}"#), Verdict::Slow { retry_after_ms: 8_000 });
        assert_eq!(said(r#"{"verdict":"slow"}"#), Verdict::Slow { retry_after_ms: AWAY_MS });
        assert_eq!(said("right"), Verdict::Away { retry_after_ms: AWAY_MS }, "what cannot be read lets nobody in");
    }
}
