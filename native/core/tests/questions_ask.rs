//! Asking and answering across the crossing, with time held still.

use std::{os::fd::AsFd, sync::Arc, time::Duration};

use penstock_core::questions::{AskError, Kind, Outcome, Question, Questions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

const SOON: Duration = Duration::from_secs(1);

fn readable(questions: &Questions) -> bool {
    let mut fds = [PollFd::new(questions, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec::default())).expect("poll works") == 1
}

#[tokio::test(start_paused = true)]
async fn an_answer_wakes_the_one_who_asked() {
    let questions = Arc::new(Questions::new(|_| 4).expect("an eventfd"));
    let asking = {
        let questions = questions.clone();
        async move { questions.ask(Kind::Admin, b"how".to_vec(), SOON).await }
    };
    let answering = async {
        assert!(readable(&questions), "the reader is told");
        let asked = questions.drain();
        assert!(!readable(&questions), "draining silences the descriptor");
        assert_eq!((asked[0].kind, asked[0].payload.as_slice()), (Kind::Admin, b"how".as_slice()));
        assert!(questions.answer(asked[0].id, b"so".to_vec()));
        assert!(!questions.answer(asked[0].id, b"or so".to_vec()), "a second answer is dropped");
    };
    let (answer, ()) = tokio::join!(asking, answering);
    assert_eq!(answer, Ok(b"so".to_vec()));
    assert_eq!(questions.counts().get(Kind::Admin, Outcome::Answered), 1);
    assert_eq!(questions.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_question_ends_at_its_deadline_and_a_late_answer_is_dropped() {
    let questions = Questions::new(|_| 4).expect("an eventfd");
    let asked = tokio::join!(questions.ask(Kind::Noop, Vec::new(), SOON), async { questions.drain() });
    assert_eq!(asked.0, Err(AskError::Timeout));
    assert!(!questions.answer(asked.1[0].id, Vec::new()));
    assert_eq!(questions.counts().get(Kind::Noop, Outcome::Timeout), 1);
}

#[tokio::test(start_paused = true)]
async fn one_question_too_many_is_refused_at_once_and_counted() {
    let questions = Questions::new(|_| 2).expect("an eventfd");
    let ask = || questions.ask(Kind::Admin, Vec::new(), SOON);
    let ends = tokio::join!(ask(), ask(), ask());
    assert_eq!(ends, (Err(AskError::Timeout), Err(AskError::Timeout), Err(AskError::Full)));
    assert_eq!(questions.counts().get(Kind::Admin, Outcome::Full), 1);
}

#[tokio::test(start_paused = true)]
async fn each_kind_has_room_of_its_own() {
    let questions = Questions::new(|kind| if kind == Kind::Verify { 3 } else { 1 }).expect("an eventfd");
    let ask = |kind| questions.ask(kind, Vec::new(), SOON);
    let verifications =
        async { tokio::join!(ask(Kind::Verify), ask(Kind::Verify), ask(Kind::Verify), ask(Kind::Verify)) };
    let answering = async {
        let asked = questions.drain();
        let kinds: Vec<Kind> = asked.iter().map(|question| question.kind).collect();
        assert_eq!(kinds, [Kind::Noop, Kind::Admin, Kind::Verify, Kind::Verify, Kind::Verify]);
        for question in asked {
            assert!(questions.answer(question.id, vec![question.kind as u8]));
        }
    };
    let ends = tokio::join!(verifications, ask(Kind::Admin), ask(Kind::Noop), answering);
    assert_eq!(ends.0, (Ok(vec![2]), Ok(vec![2]), Ok(vec![2]), Err(AskError::Full)));
    assert_eq!((ends.1, ends.2), (Ok(vec![1]), Ok(vec![0])));
    assert_eq!(questions.waiting(), 0);
}

#[test]
fn no_debug_output_shows_a_payload() {
    let question = Question { id: 1, kind: Kind::Verify, payload: b"secret".to_vec() };
    assert_eq!(format!("{question:?}"), "Question { id: 1, kind: Verify, .. }");
}

#[tokio::test(start_paused = true)]
async fn a_question_nobody_waits_for_is_not_shown() {
    let questions = Questions::new(|_| 4).expect("an eventfd");
    let given_up = tokio::time::timeout(Duration::ZERO, questions.ask(Kind::Admin, Vec::new(), SOON)).await;
    assert!(given_up.is_err());
    assert!(readable(&questions));
    assert!(questions.drain().is_empty());
    assert_eq!(questions.waiting(), 0);
    assert_eq!(questions.counts().get(Kind::Admin, Outcome::Cancelled), 1);
}

#[tokio::test(start_paused = true)]
async fn closing_ends_every_wait_and_refuses_the_next() {
    let questions = Questions::new(|_| 4).expect("an eventfd");
    let (asked, ()) = tokio::join!(questions.ask(Kind::Admin, Vec::new(), SOON), async { questions.close() });
    assert_eq!(asked, Err(AskError::Closed));
    assert_eq!(questions.ask(Kind::Admin, Vec::new(), SOON).await, Err(AskError::Closed));
    assert!(questions.as_fd().try_clone_to_owned().is_ok(), "the descriptor outlives the close");
}
