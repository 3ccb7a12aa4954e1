//! Limits that nodes share, when Redis loses what it counted, answers twice or late, or is reset.

use penstock_core::limits::{LeaseResult, Need, Now, Scope};

use crate::{
    made::{SECOND, need},
    redis::{Answer, Args, KEY, MINUTE_US, Node, tokens},
};

fn of_tokens(tokens: u64) -> Need {
    need(1, tokens, 0)
}

/// What a Redis of sorts says to a call.
type Answering<'a> = dyn Fn(&Args) -> Vec<i64> + 'a;

#[test]
fn after_a_loss_all_that_counts_is_told_anew_before_more_is_granted() {
    let (node, written) = (Node::new(), tokens(1_000, MINUTE_US));
    let mut waits = node.begin(KEY, &written, of_tokens(10));
    let stopped = node.grant(30);
    let first = waits.poll().unwrap().unwrap();
    node.pass(2 * SECOND);
    node.hear();
    let mut waits = node.begin(KEY, &written, of_tokens(10));
    let live = node.grant(15);
    let second = waits.poll().unwrap().unwrap();

    let mut waits = node.begin(KEY, &written, of_tokens(20));
    let ask = node.ask();
    let args = Args::of(&ask);
    assert_eq!((args.seen, args.reposts, args.tells.len()), ((77, live.number), false, 0));
    assert_eq!(node.answer(ask, &Answer { status: 1, epoch: 0, sequence: 0, ..node.reply(&args) }), LeaseResult::Lost);
    assert!(waits.poll().is_none());
    let ask = node.ask();
    let args = Args::of(&ask);
    assert!(args.reposts);
    let told: Vec<_> = args.tells.iter().map(|tell| (tell.0, tell.2)).collect();
    assert_eq!(told, [(stopped.number, 10), (live.number, 15)], "of what is live the whole");
    assert!(args.tells.iter().all(|tell| tell.1 > 0));
    // No answer to that: it is told again.
    node.lose(ask);
    drop(waits);
    node.settle(second, 3);
    node.pass(250_000);
    let args = node.hear();
    assert_eq!((args.reposts, args.tells.iter().filter(|tell| tell.2 > 0).count()), (true, 2));
    // Now it is known again: only what changes is told.
    node.settle(first, 4);
    node.pass(100_000);
    let args = node.hear();
    assert_eq!(
        (args.reposts, args.tells.iter().map(|tell| (tell.0, tell.2)).collect::<Vec<_>>()),
        (false, vec![(stopped.number, 4)])
    );
}

#[test]
fn who_holds_nothing_has_nothing_to_lose() {
    let (node, written) = (Node::new(), tokens(1_000, MINUTE_US));
    let mut waits = node.begin(KEY, &written, of_tokens(10));
    node.grant(10);
    node.settle(waits.poll().unwrap().unwrap(), 10);
    let mut waits = node.begin(KEY, &written, of_tokens(1));
    assert_ne!(node.grant(1).seen, (0, 0));
    node.settle(waits.poll().unwrap().unwrap(), 1);
    node.pass(63 * SECOND);
    let mut waits = node.begin(KEY, &written, of_tokens(10));
    assert_eq!(node.grant(10).seen, (0, 0));
    let _held = waits.poll().unwrap().unwrap();
}

#[test]
fn a_call_that_was_overtaken_is_made_again_by_another_number() {
    let (node, written) = (Node::new(), tokens(1_000, MINUTE_US));
    let mut waits = node.begin(KEY, &written, of_tokens(10));
    let ask = node.ask();
    let first = Args::of(&ask);
    assert_eq!(node.answer(ask, &Answer { status: 2, ..node.reply(&first) }), LeaseResult::Stale);
    // What waited is judged without it.
    assert!(waits.poll().unwrap().unwrap().away().is_some());
    let mut waits = node.begin(KEY, &written, of_tokens(10));
    assert!(node.grant(10).number > first.number);
    let _held = waits.poll().unwrap().unwrap();
}

#[test]
fn what_is_no_answer_is_none() {
    let (node, written) = (Node::new(), tokens(1_000, MINUTE_US));
    let good = |args: &Args| node.reply(args).granting(10).numbers();
    let no_answers: [&Answering<'_>; 5] = [
        &|_| Vec::new(),
        &|args| good(args)[..11].to_vec(),
        &|args| [good(args).as_slice(), &[0]].concat(),
        &|args| good(args).map(|number| -number).to_vec(),
        &|args| good(args).map(|_| i64::MAX).to_vec(),
    ];
    for no_answer in no_answers {
        let waits = node.begin(KEY, &written, of_tokens(10));
        let ask = node.ask();
        let numbers = no_answer(&Args::of(&ask));
        assert_eq!(node.limits.lease_answered(ask, Some(&numbers), &node.clock), LeaseResult::Unanswered);
        drop(waits);
        node.pass(SECOND);
        node.hear();
    }
}

#[test]
fn a_reset_elsewhere_begins_leases_and_counts_anew_and_what_is_in_flight_is_not_counted_again() {
    let (node, written) = (Node::new(), tokens(1_000, MINUTE_US));
    let mut waits = node.begin(KEY, &written, of_tokens(600));
    node.grant(700);
    let held = waits.poll().unwrap().unwrap();
    let mut waits = node.begin(KEY, &written, of_tokens(300));
    let ask = node.ask();
    let args = Args::of(&ask);
    assert_eq!(node.answer(ask, &Answer { resets: 5, ..node.reply(&args) }.granting(300)), LeaseResult::Granted);
    let after = waits.poll().unwrap().unwrap();
    assert_eq!(node.used(KEY, &written), 300);
    node.settle(held, 900);
    assert_eq!(node.used(KEY, &written), 300);
    node.settle(after, 200);
    assert_eq!(node.used(KEY, &written), 200);
    node.pass(SECOND);
    let told = node.hear();
    assert_eq!((told.resets, told.tells.len(), told.tells[0].0, told.tells[0].2), (5, 1, args.number, 200));
}

#[test]
fn a_node_that_has_used_up_a_limit_all_by_itself_asks_each_second_whether_it_was_reset_elsewhere() {
    let (node, written) = (Node::new(), tokens(30, 60 * MINUTE_US));
    let mut waits = node.begin(KEY, &written, of_tokens(30));
    node.grant(30);
    let _held = waits.poll().unwrap().unwrap();
    assert!(!node.fits(KEY, &written, of_tokens(30)));
    node.pass(SECOND - 1);
    assert!(!node.fits(KEY, &written, of_tokens(30)));
    node.asks_nothing();
    node.pass(1);
    node.hear();
    node.pass(5 * SECOND);
    node.asks_nothing();
    assert!(!node.fits(KEY, &written, of_tokens(30)));
    let ask = node.ask();
    let reset = Answer { resets: 5, ..node.reply(&Args::of(&ask)) };
    assert_eq!(node.answer(ask, &reset), LeaseResult::Told);
    let mut waits = node.begin(KEY, &written, of_tokens(30));
    node.grant(30);
    assert!(waits.poll().unwrap().is_ok());
}

#[test]
fn who_hears_of_resets_for_the_first_time_keeps_its_counts_and_tells_again_what_was_not_taken() {
    let (node, written) = (Node::new(), tokens(1_000, MINUTE_US));
    node.limits.set_shared(true, 2);
    node.settle(node.admit(KEY, &written, of_tokens(100)).unwrap(), 100);
    node.limits.set_shared(false, 2);
    node.pass(SECOND);
    let ask = node.ask();
    let args = Args::of(&ask);
    assert_eq!((args.resets, args.tells[0].2), (0, 100));
    assert_eq!(node.answer(ask, &Answer { resets: 7, ..node.reply(&args) }), LeaseResult::Told);
    assert_eq!(node.used(KEY, &written), 100);
    node.pass(SECOND);
    let ask = node.ask();
    let again = Args::of(&ask);
    assert_eq!((again.resets, &again.tells), (7, &args.tells));
    assert_eq!(node.answer(ask, &Answer { resets: 7, ..node.reply(&again) }), LeaseResult::Told);
    node.pass(SECOND);
    node.asks_nothing();
}

#[test]
fn of_an_own_reset_nothing_comes_back_by_an_answer_to_an_earlier_ask() {
    let (node, written) = (Node::new(), tokens(1_000, MINUTE_US));
    let mut waits = node.begin(KEY, &written, of_tokens(10));
    let ask = node.ask();
    let args = Args::of(&ask);
    assert!(node.limits.reset(KEY));
    assert_eq!(node.answer(ask, &node.reply(&args).granting(10)), LeaseResult::Granted);
    assert!(waits.poll().is_none(), "it was granted before");
    let next = node.grant(10);
    assert_eq!(next.tells, [(args.number, 0, 0)]);
    let _held = waits.poll().unwrap().unwrap();
}

#[test]
fn in_no_line_of_leases_is_there_more_than_a_bounded_number_of_them() {
    let (node, written) = (Node::new(), tokens(1 << 40, 600 * SECOND));
    let mut held = Vec::new();
    for _ in 0..2_000 {
        let mut waits = node.begin(KEY, &written, of_tokens(10));
        node.grant(10);
        held.push(waits.poll().unwrap().unwrap());
        node.pass(100_000);
    }
    let waits = node.begin(KEY, &written, of_tokens(10));
    let ask = node.ask();
    let args = Args::of(&ask);
    assert_eq!(node.answer(ask, &Answer { status: 1, ..node.reply(&args) }), LeaseResult::Lost);
    let ask = node.ask();
    let args = Args::of(&ask);
    assert!(args.reposts && (20..=128).contains(&args.tells.len()), "{}", args.tells.len());
    assert_eq!(args.tells.iter().map(|tell| tell.2).sum::<u64>(), 20_000, "and nothing is forgotten");
    drop((waits, ask));
    held.into_iter().for_each(|held| node.settle(held, 0));
    node.limits.sweep(&node.clock);
    assert!(node.limits.report(Scope::Key("k"), crate::made::layered(&written), Now::of(&node.clock))[0].used == 0);
}
