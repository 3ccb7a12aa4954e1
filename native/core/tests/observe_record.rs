//! A record as bytes: what Python's tests decode is what is written here.

use std::{borrow::Cow, sync::Arc};

use penstock_core::{
    content::{Content, Note, Piece},
    dialects::{Dialect, usage::Usage},
    error::Code,
    keys::{Tagged, Tags},
    limits::{Counted, Layered, Met, Policy, Rate, Scope},
    observe::{
        Provider, Record,
        record::{AttemptRecord, AttemptResult, Outcome, Phases, Source, StreamFacts},
        record_form::{begin, private, private_with, public},
    },
};

/// Every field says something.
fn full() -> Record {
    let attempt = |name: &str, model: &str, result, us| AttemptRecord {
        provider: Provider { name: Arc::from(name), number: 1 },
        model: model.into(),
        result,
        us,
    };
    let rate = Rate { amount: 1, window_us: Some(1_000_000), period: None };
    let policy = Policy { requests: Some([rate].into()), budget: Some([rate].into()), ..Policy::default() };
    let both = Layered { own: Some(&policy), default: None };
    let mut counted = Counted::default();
    [(Scope::Key(""), 17), (Scope::Model("f*"), 300)].into_iter().for_each(|(scope, told)| counted.note(scope, told));
    let tags = |pairs: &[(&str, &str)]| {
        let pairs: Vec<_> = pairs.iter().map(|(name, text)| (Cow::from(*name), Cow::from(*text))).collect();
        Some(Arc::new(Tags::new(&pairs)))
    };
    Record {
        number: 7,
        request_id: "req_1".into(),
        upstream_request_id: "up_1".into(),
        trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
        dialect: Some(Dialect::OpenAi),
        api: "chat",
        method: "POST".into(),
        path: "/v1/chat/completions".into(),
        client: Some([192, 0, 2, 7].into()),
        end_user: "somebody".into(),
        started_utc_us: 1_795_446_061_250_000,
        admitted_boottime_us: Some(70_000),
        queued_us: Some(300),
        phases: Phases {
            head_us: 1,
            body_wait_us: 200,
            route_us: Some(3),
            connect_us: Some(4),
            first_byte_us: Some(50_000),
            total_us: 5_000_000_000,
            lease_us: Some(8),
            admitted_us: Some(208),
        },
        overhead_us: Some(66),
        key_id: "abcdefghijkl".into(),
        team: "lab".into(),
        model: "fast".into(),
        target: "up/real".into(),
        attempts: vec![
            attempt("first", "", AttemptResult::Failed(Code::UpstreamConnect), 9),
            attempt("second", "x", AttemptResult::Skipped(Code::RateLimitRequests), 0),
            attempt("up", "real", AttemptResult::Status(200), 60_000),
        ],
        status: Some(200),
        outcome: Outcome::Complete,
        error: Some(Code::UpstreamCut),
        usage: Some(Usage {
            prompt_tokens: 1,
            completion_tokens: 2,
            cached_tokens: 3,
            cache_write_tokens: 4,
            reasoning_tokens: 5,
            audio_tokens: 6,
            image_tokens: 7,
            ..Usage::default()
        }),
        cost_nanousd: Some(1_000_000_000_000),
        is_unpriced: true,
        charged_tokens: Some(3),
        charged_nanousd: Some(4),
        usage_source: Source::Counted,
        stream: Some(StreamFacts { first_token_us: Some(50_100), frames: 12, longest_gap_us: 900 }),
        received_bytes: 100,
        sent_bytes: 70_000,
        tags: Tagged { key: tags(&[("env", "dev"), ("app", "")]), team: tags(&[("env", "prod"), ("unit", "7")]) },
        limits: Met::of(Scope::Key(""), &both, true).and(Met::of(Scope::Global, &both, true)),
        content: None,
        counted,
    }
}

#[test]
fn a_record_is_the_bytes_that_python_reads() {
    let (mut open, mut hidden, mut begun) = (Vec::new(), Vec::new(), Vec::new());
    public(&full(), 1, &mut open);
    private(&full(), &mut hidden);
    begin(&full(), "req_1", &mut begun);
    assert_eq!(open, include_bytes!("../../../tests/data/record_35.msgpack"));
    assert_eq!(hidden, include_bytes!("../../../tests/data/private_1.msgpack"));
    assert_eq!(begun, include_bytes!("../../../tests/data/begin_11.msgpack"));
}

#[test]
fn nothing_of_a_record_is_left_once_it_is_cleared() {
    let mut record = Record { content: Some(Box::default()), ..full() };
    record.clear();
    assert_eq!(record, Record::default());
}

#[test]
fn texts_stand_behind_the_rest_of_the_private_part() {
    let piece = |text: &str, note| Some(Piece { text: text.to_owned(), note });
    let content = Content { prompt: piece(r#"{"input":"hi"}"#, None), answer: piece("Hé", Some(Note::Cut)) };
    let mut hidden = Vec::new();
    private_with(&full(), &content, &mut hidden);
    assert_eq!(hidden, include_bytes!("../../../tests/data/private_6.msgpack"));
}

#[test]
fn a_record_is_bounded_whatever_its_texts_are() {
    let long = "ü".repeat(100_000);
    let mut record = full();
    for text in [&mut record.request_id, &mut record.path, &mut record.model, &mut record.target, &mut record.end_user]
    {
        text.clone_from(&long);
    }
    let (mut open, mut hidden) = (Vec::new(), Vec::new());
    public(&record, 1, &mut open);
    private(&record, &mut hidden);
    assert!(open.len() < 2_400 && hidden.len() < 300, "{} {}", open.len(), hidden.len());
    hidden.clear();
    private(&Record::default(), &mut hidden);
    assert!(hidden.is_empty());
}
