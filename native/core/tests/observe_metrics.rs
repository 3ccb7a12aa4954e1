//! What `/metrics` and the log say about finished requests.

use std::{sync::Arc, thread};

use penstock_core::{
    clock::Clock,
    dialects::{Dialect, usage::Usage},
    error::Code,
    limits::{Away, LeaseResult},
    observe::{
        Consumer, Gauges, Listener, Log, LogOptions, Metrics, Record, SharedGauges,
        log::Level,
        metrics::Auth,
        record::{AttemptRecord, AttemptResult, Outcome, StreamFacts},
        sinks,
    },
    questions::Questions,
};

fn rendered(metrics: &Metrics) -> String {
    let questions = Questions::new(|_| 2).expect("an eventfd");
    let mut page = Vec::new();
    let shared = Some(SharedGauges { up: 1, nodes: 4 });
    let gauges = Gauges { snapshot_revision: 7, keys: 9, shared, ..Gauges::default() };
    metrics.render(&gauges, questions.counts(), &mut page);
    String::from_utf8(page).expect("text")
}

fn finished(metrics: &Metrics) -> Record {
    let (first, second) = (metrics.provider("openai"), metrics.provider("we\"ird"));
    let attempt = |provider, result| AttemptRecord { provider, model: "m".into(), result, us: 9 };
    Record {
        request_id: "r-1".into(),
        dialect: Some(Dialect::OpenAi),
        api: "chat",
        method: "POST".into(),
        path: "/v1/chat/completions".into(),
        key_id: "abcdefghijkl".into(),
        team: "lab".into(),
        attempts: vec![
            attempt(first, AttemptResult::Failed(Code::UpstreamConnect)),
            attempt(second, AttemptResult::Status(200)),
        ],
        target: "weird/m".into(),
        status: Some(200),
        outcome: Outcome::Complete,
        overhead_us: Some(60),
        stream: Some(StreamFacts { first_token_us: Some(30_000), frames: 3, longest_gap_us: 5 }),
        usage: Some(Usage { prompt_tokens: 5, completion_tokens: 6, ..Usage::default() }),
        received_bytes: 100,
        sent_bytes: 1_000,
        ..Record::default()
    }
}

#[test]
fn shards_of_all_threads_add_up() {
    let metrics = Arc::new(Metrics::new(2));
    let record = finished(&metrics);
    let workers = (0..2).map(|worker| {
        let (shard, record) = (metrics.shard(worker).clone(), record.clone());
        thread::spawn(move || (0..100).for_each(|_| shard.record(&record)))
    });
    workers.collect::<Vec<_>>().into_iter().for_each(|worker| worker.join().expect("no panic"));
    (0..2).for_each(|worker| {
        let shard = metrics.shard(worker);
        shard.authenticated(Auth::Verified);
        shard.lease_asked(LeaseResult::Lost);
        shard.waited_for_lease(700);
        shard.judged_away(Away::FairShare);
    });
    let page = rendered(&metrics);
    for line in [
        "penstock_requests_total{dialect=\"openai\",code=\"200\"} 200",
        "penstock_answers_total{outcome=\"complete\"} 200",
        "penstock_overhead_seconds_bucket{le=\"0.00005\"} 0",
        "penstock_overhead_seconds_bucket{le=\"0.000075\"} 200",
        "penstock_overhead_seconds_bucket{le=\"+Inf\"} 200",
        "penstock_overhead_seconds_sum 0.012000",
        "penstock_overhead_seconds_count 200",
        "penstock_first_token_seconds_bucket{le=\"0.05\"} 200",
        "penstock_attempts_total{provider=\"openai\"} 200",
        "penstock_upstream_errors_total{provider=\"openai\",reason=\"upstream_connect\"} 200",
        "penstock_attempts_total{provider=\"we\\\"ird\"} 200",
        "penstock_received_bytes_total 20000",
        "penstock_sent_bytes_total 200000",
        "penstock_snapshot_revision 7",
        "penstock_auth_total{result=\"verified\"} 2",
        "penstock_auth_total{result=\"slow\"} 0",
        "penstock_keys 9",
        "penstock_event_loop_lag_seconds_count{loop=\"native\"} 0",
        "penstock_shared_nodes 4",
        "penstock_lease_asks_total{result=\"lost\"} 2",
        "penstock_lease_wait_seconds_count 2",
        "penstock_away_requests_total{policy=\"fair_share\"} 2",
    ] {
        assert!(page.lines().any(|seen| seen == line), "missing {line} in\n{page}");
    }
}

#[test]
fn every_sample_belongs_to_a_family_announced_just_before_it() {
    let metrics = Metrics::new(1);
    metrics.shard(0).record(&finished(&metrics));
    let mut family = String::new();
    for line in rendered(&metrics).lines() {
        if let Some(announced) = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE ")) {
            family = announced.split(' ').next().unwrap_or_default().to_owned();
            continue;
        }
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let plain = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        assert!(name == family || plain == family, "{line} under {family}");
        assert!(line.rsplit(' ').next().is_some_and(|value| value.parse::<f64>().is_ok()), "{line}");
    }
}

#[test]
fn what_is_open_is_counted_until_its_guard_goes_even_from_another_thread() {
    let metrics = Arc::new(Metrics::new(1));
    let shard = metrics.shard(0);
    let (request, connection) = (shard.in_flight(), shard.connection(Listener::Admin));
    assert_eq!((metrics.requests_in_flight(), metrics.open_connections(Listener::Admin)), (1, 1));
    assert_eq!((shard.requests_in_flight(), shard.open_connections()), (1, 1));
    thread::scope(|scope| scope.spawn(move || drop((request, connection))).join().expect("no panic"));
    assert_eq!((metrics.requests_in_flight(), metrics.open_connections(Listener::Admin)), (0, 0));
}

#[test]
fn a_client_that_left_before_the_answer_counts_as_499() {
    let metrics = Metrics::new(1);
    metrics.process().record(&Record { outcome: Outcome::ClientGone, ..Record::default() });
    let page = rendered(&metrics);
    assert!(page.contains("penstock_requests_total{dialect=\"none\",code=\"499\"} 1\n"), "{page}");
}

#[test]
fn the_debug_log_has_one_line_of_json_for_each_request() {
    let options = LogOptions { level: Level::Debug, ..LogOptions::default() };
    let log = Log::in_memory(options, Clock::Manual(Arc::default()));
    log.record(&finished(&Metrics::new(1)));
    let line: serde_json::Value = serde_json::from_str(&log.kept()).expect("JSON");
    assert_eq!((&line["message"], &line["level"]), (&"request".into(), &"debug".into()));
    assert_eq!((&line["request_id"], &line["status"]), (&"r-1".into(), &200.into()));
    assert_eq!((&line["key_id"], &line["team"]), (&"abcdefghijkl".into(), &"lab".into()));
    assert_eq!(line["usage"]["completion_tokens"], 6);
    assert_eq!(line["attempts"][0]["code"], "upstream_connect");
    assert_eq!(line["attempts"][1]["status"], 200);
    assert_eq!(line["stream"]["first_token_us"], 30_000);
    assert!(line.get("error").is_none(), "what there is nothing to say about is left out");
}

#[test]
fn requests_are_not_written_at_level_info_unless_the_access_log_is_on() {
    let log = Log::in_memory(LogOptions::default(), Clock::Manual(Arc::default()));
    log.record(&Record::default());
    assert_eq!(log.kept(), "");
    log.set(LogOptions { access: true, ..LogOptions::default() });
    log.record(&Record::default());
    assert_eq!(log.kept().lines().count(), 1);
}

#[test]
fn sinks_are_shown_by_name_and_not_at_all_where_there_are_none() {
    let mut page = Vec::new();
    sinks::render(&[], &mut page);
    assert!(page.is_empty());
    let facts = br#"[{"name":"jsonl:/a \"b\"","records":3,"skipped":2,"failures":1,"lag_us":1500000}]"#;
    sinks::render(&serde_json::from_slice::<Vec<_>>(facts).expect("facts"), &mut page);
    let page = String::from_utf8(page).expect("text");
    for sample in [
        "penstock_sink_records_total{sink=\"jsonl:/a \\\"b\\\"\"} 3\n",
        "penstock_sink_skipped_records_total{sink=\"jsonl:/a \\\"b\\\"\"} 2\n",
        "penstock_sink_failures_total{sink=\"jsonl:/a \\\"b\\\"\"} 1\n",
        "penstock_sink_lag_seconds{sink=\"jsonl:/a \\\"b\\\"\"} 1.500000\n",
    ] {
        assert!(page.contains(sample), "{sample}{page}");
    }
}
