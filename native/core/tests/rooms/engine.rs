//! The engine between real sockets: starting, serving, refusing, draining, stopping.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use penstock_core::{
    clock::Clock,
    keys::Digests,
    observe::{Log, LogOptions, Metrics},
    questions::{Kind, Questions},
    server::{
        Role,
        shared::{Inflight, Shared, Stage},
        worker::Handle,
    },
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    document::{bytes, minimal, network},
    house::{ANSWER, Client, DEADLINE, House, Upstream, chat, document, engine, heavy, until},
    process::{alone, descriptors, sockets_by_epoll, threads, workers},
};

fn status_u64(house: &House, name: &str) -> u64 {
    house.status()[name].as_u64().unwrap()
}

/// Everything that a request may hold is given back.
pub(crate) fn is_quiet(house: &House) -> Option<()> {
    let status = house.status();
    let zero = ["in_flight", "buffered_bytes", "connections"].iter().all(|n| status[*n] == 0);
    zero.then_some(())
}

proptest! {
    #[test]
    fn the_budget_of_bytes_is_never_exceeded_and_comes_back_to_nothing(
        steps in prop::collection::vec((any::<bool>(), 0usize..60), 1..200),
        max in 0usize..150,
    ) {
        let budget = Inflight::default();
        let mut held = Vec::new();
        for (takes, bytes) in steps {
            if takes {
                let before = budget.held();
                let fits = before + bytes <= max;
                prop_assert_eq!(budget.take(bytes, max), fits);
                prop_assert_eq!(budget.held(), if fits { before + bytes } else { before });
                held.extend(fits.then_some(bytes));
            } else if let Some(bytes) = held.pop() {
                budget.give(bytes);
            }
            prop_assert_eq!(budget.held(), held.iter().sum::<usize>());
            prop_assert!(budget.held() <= max);
        }
        held.into_iter().for_each(|bytes| budget.give(bytes));
        prop_assert_eq!(budget.held(), 0);
    }
}

#[test]
fn threads_that_share_the_budget_of_bytes_together_hold_no_more_than_allowed() {
    let (budget, granted) = (Inflight::default(), AtomicUsize::new(0));
    thread::scope(|scope| {
        for seed in 0..4 {
            let (budget, granted) = (&budget, &granted);
            scope.spawn(move || {
                let mut rng = fastrand::Rng::with_seed(seed);
                for _ in 0..20_000 {
                    let bytes = rng.usize(1..50);
                    if budget.take(bytes, 100) {
                        assert!(granted.fetch_add(bytes, SeqCst) + bytes <= 100);
                        granted.fetch_sub(bytes, SeqCst);
                        budget.give(bytes);
                    }
                }
            });
        }
    });
    assert_eq!(budget.held(), 0);
}

/// What workers share, without their threads.
fn shared(workers: usize) -> Shared {
    let clock = Clock::System;
    let log = Log::in_memory(LogOptions::default(), clock.clone());
    let handles = (0..workers).map(|_| Handle::new(tokio::sync::mpsc::unbounded_channel().0)).collect();
    let questions = Arc::new(Questions::new(|_| 4).unwrap());
    let metrics = Arc::new(Metrics::new(workers));
    Shared::new(clock, network(), metrics, questions, Arc::new(log), Digests::new([7; 32]), handles, 100)
}

proptest! {
    #[test]
    fn a_connection_goes_to_a_worker_with_the_fewest_whatever_has_closed(
        workers in 1usize..6,
        closes in prop::collection::vec(prop::option::of(any::<prop::sample::Index>()), 1..120),
    ) {
        let shared = shared(workers);
        let mut open = Vec::new();
        let load = |open: &Vec<(usize, _)>| -> Vec<usize> {
            (0..workers).map(|w| open.iter().filter(|(of, _)| *of == w).count()).collect()
        };
        for close in closes {
            if let Some(index) = close.filter(|_| !open.is_empty()) {
                open.swap_remove(index.index(open.len()));
                continue;
            }
            let to = shared.least_loaded();
            let before = load(&open);
            prop_assert_eq!(Some(&before[to]), before.iter().min());
            open.push((to, shared.metrics.shard(to).connection(Role::Data)));
        }
    }
}

#[test]
fn among_equal_workers_the_one_with_fewer_requests_in_flight_is_chosen() {
    let shared = shared(3);
    let _busy = [shared.metrics.shard(0).in_flight(), shared.metrics.shard(2).in_flight()];
    assert!((0..6).all(|_| shared.least_loaded() == 1));
    let _open = shared.metrics.shard(1).connection(Role::Data);
    assert!((0..6).all(|_| shared.least_loaded() != 1), "connections count before requests");
}

#[test]
fn workers_without_any_load_take_turns() {
    let shared = shared(3);
    let chosen: BTreeSet<usize> = (0..3).map(|_| shared.least_loaded()).collect();
    assert_eq!(chosen.len(), 3);
}

#[test]
fn the_stage_only_moves_forward() {
    let shared = shared(1);
    assert_eq!(shared.stage(), Stage::Starting);
    shared.advance(Stage::Draining);
    shared.advance(Stage::Serving);
    assert_eq!(shared.stage(), Stage::Draining);
}

#[test]
fn an_engine_has_no_thread_before_it_is_started_and_serves_after() {
    let upstream = Upstream::start();
    let house = House::start(&document(upstream.port), 2, 0);
    let mut client = house.client();
    for _ in 0..3 {
        let answer = client.ask(&chat("fast")).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, ANSWER));
    }
    assert_eq!(upstream.asked.load(SeqCst), 3);
    assert_eq!(house.status()["stage"], "serving");
    assert_eq!(status_u64(&house, "workers"), 2);
    drop(client);
    until("all is given back", || is_quiet(&house));
    house.stop();
}

#[test]
fn a_second_start_is_refused_and_the_first_goes_on() {
    let upstream = Upstream::start();
    let house = House::start(&document(upstream.port), 1, 0);
    let error = house.engine.start(&bytes(&document(upstream.port)), vec![]).expect_err("started twice");
    assert!(error.contains("started before"), "{error}");
    assert_eq!(house.client().ask(&chat("fast")).unwrap().status, 200);
    house.stop();
    assert!(house.engine.start(&bytes(&minimal()), vec![]).is_err(), "an engine that was stopped does not start again");
}

#[test]
fn a_start_with_an_invalid_snapshot_is_refused_and_can_be_repeated() {
    let engine = engine(1, 0);
    assert!(engine.start(b"{}", vec![]).expect_err("no snapshot").contains("snapshot"));
    engine.start(&bytes(&minimal()), vec![]).unwrap();
    assert!(engine.stop(DEADLINE));
}

#[test]
fn an_invalid_snapshot_is_refused_and_the_old_one_keeps_serving() {
    let upstream = Upstream::start();
    let house = House::start(&document(upstream.port), 2, 0);
    let mut broken = document(upstream.port);
    broken["revision"] = json!(8);
    broken["models"][0]["name"] = json!("slow");
    broken["models"][0]["targets"][0]["provider"] = json!("nobody");
    assert!(house.engine.apply(&bytes(&broken)).expect_err("an unknown provider").contains("nobody"));
    assert_eq!(status_u64(&house, "revision"), 7);
    let mut client = house.client();
    assert_eq!(client.ask(&chat("fast")).unwrap().status, 200);
    assert_eq!(client.ask(&chat("slow")).unwrap().status, 404);
    broken["models"][0]["targets"][0]["provider"] = json!("up");
    house.engine.apply(&bytes(&broken)).unwrap();
    assert_eq!(status_u64(&house, "revision"), 8);
    assert_eq!(client.ask(&chat("slow")).unwrap().status, 200, "an open connection sees the new snapshot");
    assert_eq!(client.ask(&chat("fast")).unwrap().status, 404);
    house.stop();
}

#[test]
fn a_refused_snapshot_does_not_change_the_bound_of_a_live_provider() {
    let upstream = Upstream::start();
    let house = House::start(&document(upstream.port), 1, 0);
    let mut broken = document(upstream.port);
    broken["providers"][0]["max_connections"] = json!(1);
    broken["default_provider"] = json!("nobody");
    house.engine.apply(&bytes(&broken)).expect_err("an unknown provider");
    upstream.open.store(false, SeqCst);
    let mut clients: Vec<Client> = (0..2).map(|_| house.client()).collect();
    clients.iter_mut().for_each(|c| c.send(&chat("fast")).unwrap());
    until("both are asked at a time", || (upstream.asked.load(SeqCst) == 2).then_some(()));
    upstream.open.store(true, SeqCst);
    assert!(clients.iter_mut().all(|c| c.answer().unwrap().status == 200));
    house.stop();
}

#[test]
fn draining_answers_close_their_connection_and_new_ones_are_still_served() {
    let upstream = Upstream::start();
    let house = House::start(&document(upstream.port), 1, 0);
    let mut old = house.client();
    let before = old.ask(&chat("fast")).unwrap();
    assert!(before.status == 200 && !before.head.contains("connection: close"), "{}", before.head);
    let ready = Client::connect(house.data).get("/health/ready");
    assert_eq!(ready.status, 200);
    house.engine.drain();
    assert_eq!(house.status()["stage"], "draining");
    let mut new = house.client();
    for client in [&mut old, &mut new] {
        let answer = client.ask(&chat("fast")).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, ANSWER));
        assert!(answer.head.contains("connection: close"), "{}", answer.head);
        assert!(client.is_ended());
    }
    assert_eq!(Client::connect(house.data).get("/health/ready").status, 503);
    assert_eq!(Client::connect(house.data).get("/health/live").status, 200);
    assert_eq!(Client::connect(house.admin).get("/health/ready").status, 503);
    house.stop();
}

#[test]
fn closing_the_listeners_ends_idle_connections_and_lets_a_request_in_flight_finish() {
    let upstream = Upstream::start();
    let house = House::start(&document(upstream.port), 2, 0);
    let mut idle: Vec<Client> = (0..6).map(|_| house.client()).collect();
    assert!(idle[..3].iter_mut().all(|c| c.ask(&chat("fast")).unwrap().status == 200), "three used, three fresh");
    until("all are open", || (status_u64(&house, "connections") == 6).then_some(()));
    upstream.open.store(false, SeqCst);
    let mut busy = house.client();
    busy.send(&chat("fast")).unwrap();
    until("the upstream is asked", || (upstream.asked.load(SeqCst) == 4).then_some(()));
    assert!(!house.engine.is_idle());
    house.engine.drain();
    house.engine.close_listeners();
    assert!(idle.iter_mut().all(Client::is_ended));
    until("nothing listens", || Client::try_connect(house.data).is_err().then_some(()));
    assert!(!house.engine.is_idle(), "the one in flight is");
    upstream.open.store(true, SeqCst);
    let answer = busy.answer().unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, ANSWER));
    assert!(busy.is_ended());
    until("it is over", || house.engine.is_idle().then_some(()));
    house.stop();
}

#[test]
fn a_unix_socket_serves_like_a_port() {
    let upstream = Upstream::start();
    let path = env::temp_dir().join(format!("penstock-rooms-{}.sock", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let engine = engine(2, 0);
    engine.start(&bytes(&document(upstream.port)), vec![(listener.into(), Role::Data)]).unwrap();
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    for request in [chat("fast"), chat("fast").replace("host:", "connection: close\r\nhost:")] {
        stream.write_all(request.as_bytes()).unwrap();
    }
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!((answers.matches("HTTP/1.1 200").count(), answers.matches(ANSWER).count()), (2, 2), "{answers}");
    assert!(engine.stop(DEADLINE));
    fs::remove_file(path).unwrap();
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let upstream = Upstream::start();
    let house = House::start(&document(upstream.port), 1, 0);
    let mut client = house.client();
    let last = "GET /health/live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    client.send(&format!("{}{}{last}", chat("fast"), chat("nobody"))).unwrap();
    let text = client.rest();
    let statuses: Vec<&str> = text.split("HTTP/1.1 ").skip(1).map(|a| &a[..3]).collect();
    assert_eq!(statuses, ["200", "404", "200"], "{text}");
    house.stop();
}

#[test]
fn clients_that_leave_while_the_upstream_thinks_leave_nothing_behind() {
    let upstream = Upstream::start();
    let house = House::start(&document(upstream.port), 2, 0);
    upstream.open.store(false, SeqCst);
    let mut clients: Vec<Client> = (0..20).map(|_| house.client()).collect();
    clients.iter_mut().for_each(|c| c.send(&chat("fast")).unwrap());
    until("all are asked", || (upstream.asked.load(SeqCst) == 20).then_some(()));
    until("buffers are counted", || (status_u64(&house, "buffered_bytes") > 0).then_some(()));
    clients.iter().for_each(Client::leave);
    until("all is given back", || is_quiet(&house));
    until("the upstream is let go", || (status_u64(&house, "upstream_connections") == 0).then_some(()));
    assert_eq!(house.metric("penstock_panics_total"), 0);
    house.stop();
}

#[test]
fn more_connections_than_allowed_are_closed_unserved_and_counted() {
    let upstream = Upstream::start();
    let house = House::start(&document(upstream.port), 2, 3);
    let mut held: Vec<Client> = (0..3).map(|_| house.client()).collect();
    assert!(held.iter_mut().all(|c| c.ask(&chat("fast")).unwrap().status == 200));
    let mut surplus = house.client();
    assert!(surplus.is_ended());
    assert!(house.metric("penstock_connections_refused_total") >= 1, "and the admin port is still there");
    assert!(held.iter_mut().all(|c| c.ask(&chat("fast")).unwrap().status == 200), "the others go on");
    held.pop();
    until("a place is free", || (status_u64(&house, "connections") == 2).then_some(()));
    assert_eq!(house.client().ask(&chat("fast")).unwrap().status, 200);
    house.stop();
}

#[test]
fn a_request_beyond_the_budget_of_bytes_is_a_503_and_the_budget_recovers() {
    let upstream = Upstream::start();
    let mut document = document(upstream.port);
    document["body"]["max_inflight_bytes"] = json!(heavy().len());
    let house = House::start(&document, 1, 0);
    upstream.open.store(false, SeqCst);
    let mut clients: Vec<Client> = (0..6).map(|_| house.client()).collect();
    clients[0].send(&heavy()).unwrap();
    until("the first is on its way", || (upstream.asked.load(SeqCst) == 1).then_some(()));
    let mut served = 1;
    for client in &mut clients[1..] {
        client.send(&heavy()).unwrap();
    }
    until("each is asked upstream or answered", || {
        (upstream.asked.load(SeqCst) as u64 + house.metric("penstock_requests_total{dialect=\"openai\",code=\"503\"}")
            == 6)
            .then_some(())
    });
    upstream.open.store(true, SeqCst);
    assert_eq!(clients[0].answer().unwrap().status, 200);
    for client in &mut clients[1..] {
        let answer = client.answer().unwrap();
        if answer.status == 200 {
            served += 1;
            continue;
        }
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert!(answer.head.contains("x-penstock-error: overloaded") && answer.head.contains("retry-after: 1"));
    }
    assert!(served < 6 && served == upstream.asked.load(SeqCst), "{served}");
    drop(clients);
    until("all is given back", || is_quiet(&house));
    assert_eq!(house.client().ask(&chat("fast")).unwrap().status, 200);
    house.stop();
}

/// Answers admin questions until told to end.
fn answering(house: &House, end: &AtomicBool) {
    while !end.load(SeqCst) {
        for question in house.engine.questions() {
            if question.kind == Kind::Admin {
                let line = question.payload.split(|b| *b == b'\n').next().unwrap();
                let asked: Value = serde_json::from_slice(line).unwrap();
                let answer = format!("{{\"status\":200,\"headers\":[]}}\n{}", asked["path"]);
                assert!(house.engine.answer(question.id, answer.into_bytes()));
            }
        }
        thread::park_timeout(std::time::Duration::from_millis(1));
    }
}

#[test]
fn what_python_answers_reaches_the_admin_client() {
    let house = House::start(&minimal(), 2, 0);
    let end = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| answering(&house, &end));
        let mut client = Client::connect(house.admin);
        for _ in 0..3 {
            let answer = client.get("/admin/v1/status");
            assert_eq!((answer.status, answer.body.as_str()), (200, "\"/admin/v1/status\""));
        }
        end.store(true, SeqCst);
    });
    house.stop();
}

#[test]
fn an_answer_of_python_that_is_none_is_a_500() {
    let house = House::start(&minimal(), 1, 0);
    let mut client = Client::connect(house.admin);
    for bad in [
        "",
        "\n",
        "null\n",
        "{\"status\":200}\n",
        "{\"status\":-1,\"headers\":[]}\n",
        "{\"status\":70000,\"headers\":[]}\n",
    ] {
        client.send("GET /admin/v1/status HTTP/1.1\r\nhost: penstock.test\r\n\r\n").unwrap();
        let id = until("the question", || house.engine.questions().into_iter().find(|q| q.kind == Kind::Admin)).id;
        assert!(house.engine.answer(id, bad.as_bytes().to_vec()));
        let answer = client.answer().unwrap();
        assert_eq!(answer.status, 500, "{bad:?}");
        assert!(
            answer.head.contains("application/problem+json") && answer.body.contains("internal"),
            "{}",
            answer.body
        );
    }
    house.stop();
}

#[test]
fn a_question_that_nobody_answers_is_a_503_when_its_deadline_passes() {
    let house = House::start(&minimal(), 1, 0);
    let mut client = Client::connect(house.admin);
    client.send("GET /admin/v1/status HTTP/1.1\r\nhost: penstock.test\r\n\r\n").unwrap();
    let mut other = Client::connect(house.admin);
    assert_eq!(other.get("/health/live").status, 200, "native answers by itself meanwhile");
    let answer = client.answer().unwrap();
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.body.contains("no answer came in time"), "{}", answer.body);
    assert_eq!(client.get("/health/live").status, 200, "the connection goes on");
    house.stop();
}

#[test]
fn connections_spread_evenly_over_the_workers() {
    alone("engine::connections_per_worker");
}

#[test]
#[ignore = "looks at the process: run by connections_spread_evenly_over_the_workers"]
fn connections_per_worker() {
    let house = House::start(&minimal(), 4, 0);
    let mut clients: Vec<Client> = (0..42).map(|_| house.client()).collect();
    assert!(clients.iter_mut().all(|c| c.get("/health/live").status == 200));
    let spread = sockets_by_epoll();
    assert_eq!(spread.len(), 4, "{spread:?}");
    assert_eq!(spread.iter().sum::<usize>(), 42 + 2, "connections and listeners: {spread:?}");
    let (least, most) = (spread.iter().min().unwrap(), spread.iter().max().unwrap());
    assert!(most - least <= 2, "the listeners sit on one worker or two: {spread:?}");
    house.stop();
}

#[test]
fn starting_and_stopping_under_load_leaves_no_thread_and_no_descriptor() {
    alone("engine::rounds_of_start_and_stop");
}

#[test]
#[ignore = "counts what the process holds: run by starting_and_stopping_under_load_leaves_no_thread_and_no_descriptor"]
fn rounds_of_start_and_stop() {
    let rounds: usize = env::var("ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(50);
    let upstream = Upstream::start();
    let held = || descriptors().into_iter().filter(|d| !d.starts_with("socket:")).collect::<Vec<_>>();
    let (descriptors_before, sockets_before) = (held(), sockets());
    for round in 0..rounds {
        let house = House::start(&document(upstream.port), 2, 0);
        let (at, answers, end) = (house.data, AtomicUsize::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !end.load(SeqCst) {
                        let Ok(mut client) = Client::try_connect(at) else { continue };
                        while !end.load(SeqCst) && client.ask(&chat("fast")).is_ok_and(|a| a.status == 200) {
                            answers.fetch_add(1, SeqCst);
                        }
                    }
                });
            }
            until("load", || (answers.load(SeqCst) > 20).then_some(()));
            match round % 3 {
                0 => house.stop(),
                1 => {
                    house.engine.drain();
                    house.engine.close_listeners();
                    house.stop();
                }
                _ => {}
            }
            if round % 3 == 2 {
                drop(house);
            } else {
                assert_eq!(house.status()["connections"], 0, "round {round}");
                assert_eq!(
                    (house.status()["tasks"].clone(), house.status()["buffered_bytes"].clone()),
                    (json!(0), json!(0))
                );
            }
            end.store(true, SeqCst);
        });
        until("the workers' threads are gone", || (workers() == 0).then_some(()));
        until("the upstream lets its connections go", || (sockets() <= sockets_before).then_some(()));
        assert_eq!(held(), descriptors_before, "round {round}");
    }
    until("the upstream's threads end", || (threads() <= 4).then_some(()));
}

fn sockets() -> usize {
    descriptors().iter().filter(|d| d.starts_with("socket:")).count()
}

#[test]
fn an_engine_that_is_dropped_without_a_stop_ends_its_threads() {
    alone("engine::dropped_without_a_stop");
}

#[test]
#[ignore = "counts what the process holds: run by an_engine_that_is_dropped_without_a_stop_ends_its_threads"]
fn dropped_without_a_stop() {
    let before = descriptors();
    let unstarted = engine(3, 0);
    assert_eq!(workers(), 0, "no thread before start");
    drop(unstarted);
    let house = House::start(&minimal(), 3, 0);
    assert_eq!(house.client().get("/health/live").status, 200);
    until("all have their names", || (workers() == 3).then_some(()));
    drop(house);
    until("the workers' threads are gone", || (workers() == 0).then_some(()));
    assert_eq!(descriptors(), before);
}
