//! The coarse timer of a connection, with the runtime's clock held still.

use std::{
    future::{Future, poll_fn},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use penstock_core::{
    clock::Clock,
    server::timer::{Moment, Timer, after, earlier, is_past},
};
use tokio::time::{Instant, advance, timeout};

const MS: Duration = Duration::from_millis(1);

fn is_ready(timer: &mut Timer) -> bool {
    timer.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// How long the timer takes to fire; `None`: not within an hour. Paused time jumps from event to event.
async fn fires_after(timer: &mut Timer) -> Option<Duration> {
    let start = Instant::now();
    timeout(Duration::from_secs(3600), poll_fn(|cx| timer.poll(cx))).await.ok().map(|()| start.elapsed())
}

/// Polls as the task that waits for it later.
async fn poll_once(timer: &mut Timer) {
    let polled = poll_fn(|cx| Poll::Ready(timer.poll(cx))).await;
    assert!(polled.is_pending());
}

#[tokio::test(start_paused = true)]
async fn a_timer_without_a_deadline_never_fires() {
    let mut timer = Timer::default();
    assert_eq!(fires_after(&mut timer).await, None);
    timer.set(0);
    assert_eq!(fires_after(&mut timer).await, None);
    timer.set_at(None);
    assert_eq!(fires_after(&mut timer).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_timer_fires_at_its_deadline_and_stays_ready() {
    let mut timer = Timer::default();
    timer.set(50);
    assert!(!is_ready(&mut timer));
    assert_eq!(fires_after(&mut timer).await, Some(50 * MS));
    assert!(is_ready(&mut timer) && is_ready(&mut timer));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_moved_later_does_not_fire_at_the_old_one() {
    let mut timer = Timer::default();
    timer.set(50);
    assert!(!is_ready(&mut timer));
    advance(40 * MS).await;
    timer.set(100);
    assert_eq!(fires_after(&mut timer).await, Some(100 * MS));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_set_after_the_old_one_went_by_unseen_fires() {
    let mut timer = Timer::default();
    for _ in 0..3 {
        timer.set(50);
        poll_once(&mut timer).await;
        advance(60 * MS).await;
        timer.set(50);
        poll_once(&mut timer).await;
        advance(20 * MS).await;
        timer.set(70);
        assert_eq!(fires_after(&mut timer).await, Some(70 * MS));
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_moved_later_again_and_again_fires_once_it_is_left_alone() {
    let mut timer = Timer::default();
    for _ in 0..100 {
        timer.set(50);
        assert!(!is_ready(&mut timer));
        advance(49 * MS).await;
        assert!(!is_ready(&mut timer));
    }
    assert_eq!(fires_after(&mut timer).await, Some(MS));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_moved_earlier_fires_at_the_new_one() {
    let mut timer = Timer::default();
    timer.set(10_000);
    assert!(!is_ready(&mut timer));
    timer.set(20);
    assert_eq!(fires_after(&mut timer).await, Some(20 * MS));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_taken_away_does_not_fire_and_can_be_set_again() {
    let mut timer = Timer::default();
    timer.set(50);
    assert!(!is_ready(&mut timer));
    timer.set(0);
    assert_eq!(fires_after(&mut timer).await, None);
    timer.set(30);
    assert_eq!(fires_after(&mut timer).await, Some(30 * MS));
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_has_fired_can_be_used_again() {
    let mut timer = Timer::default();
    for ms in [5, 70, 3] {
        timer.set(ms);
        assert_eq!(fires_after(&mut timer).await, Some(u32::try_from(ms).unwrap() * MS));
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_in_the_past_fires_at_once() {
    let mut timer = Timer::default();
    let then = Instant::now();
    advance(10 * MS).await;
    timer.set_at(Some(then));
    assert!(is_ready(&mut timer));
}

#[tokio::test(start_paused = true)]
async fn the_task_that_polls_last_is_the_one_that_is_woken() {
    let mut timer = Timer::default();
    timer.set(50);
    assert!(!is_ready(&mut timer), "polled with a waker that does nothing");
    let mut wait = std::pin::pin!(poll_fn(|cx| timer.poll(cx)));
    poll_fn(|cx| {
        assert!(wait.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    timeout(60 * MS, wait).await.expect("the second waker was registered");
}

#[tokio::test(start_paused = true)]
async fn of_two_deadlines_the_earlier_counts_and_none_never_passes() {
    let (soon, late) = (after(10), after(20));
    assert_eq!(earlier(soon, late), soon);
    assert_eq!(earlier(late, soon), soon);
    assert_eq!(earlier(None, late), late);
    assert_eq!(earlier(soon, None), soon);
    assert_eq!(earlier(None, None), None);
    assert_eq!(after(0), None);
    assert!(!is_past(None) && !is_past(soon));
    advance(10 * MS).await;
    assert!(is_past(soon) && !is_past(late) && !is_past(None));
}

#[tokio::test(start_paused = true)]
async fn stamps_become_instants_by_a_moment_that_is_not_old() {
    let (before_us, start) = (Clock::System.boot_us(), Instant::now());
    let moment = Moment::read(&Clock::System).unwrap();
    let after_us = Clock::System.boot_us();
    // The runtime's clock stands, the other goes on.
    let between = Duration::from_micros(after_us - before_us);
    assert_eq!(moment.instant(before_us), start, "a stamp from before it is no earlier");
    let second = moment.instant(after_us + 1_000_000);
    assert!(start + 1000 * MS <= second && second <= start + 1000 * MS + between, "{second:?}, {start:?}");
    advance(700 * MS).await;
    // As after the machine has slept.
    assert_eq!(moment.instant(after_us + 3_600_000_000), start + 700 * MS);
    assert!(Moment::read(&Clock::Manual(Arc::default())).is_none(), "by hand only one of the two is moved");
}
